// gRPC as a peer: unary calls with bytes in and out, over mutual TLS. Not installed: absent.
const load = () =>
  import('@grpc/grpc-js').then(
    (module) => module.default ?? module,
    () => null,
  );
const same = (bytes) => bytes;
const service = {
  echo: {
    path: '/bench.Echo/echo',
    requestStream: false,
    responseStream: false,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  },
};

/** @returns the port, or null where gRPC is not installed */
export async function serveGrpc({ key, certificate, authority }) {
  const grpc = await load();
  if (grpc === null) return null;
  const server = new grpc.Server();
  server.addService(service, { echo: (call, callback) => callback(null, call.request) });
  const pair = { private_key: Buffer.from(key), cert_chain: Buffer.from(certificate) };
  const credentials = grpc.ServerCredentials.createSsl(Buffer.from(authority), [pair], true);
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, port) => (error ? reject(error) : resolve(port)));
  });
}

/** @returns {call(bytes, done), close()} */
export async function grpcClient(port, { key, certificate, authority }) {
  const grpc = await load();
  const Echo = grpc.makeGenericClientConstructor(service, 'Echo');
  const credentials = grpc.credentials.createSsl(
    Buffer.from(authority),
    Buffer.from(key),
    Buffer.from(certificate),
    { checkServerIdentity: () => undefined },
  );
  const client = new Echo(`127.0.0.1:${port}`, credentials);
  return {
    call(bytes, done) {
      client.echo(bytes, (error) => {
        if (error) throw error;
        done();
      });
    },
    close: () => client.close(),
  };
}
