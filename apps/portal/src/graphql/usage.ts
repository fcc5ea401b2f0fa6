import { graphql } from '@/gen/usage';

export const UsageQuery = graphql(`
  query UsageOf($by: String!, $from: String, $to: String) {
    usage(by: $by, from: $from, to: $to) {
      from
      to
      items {
        tenant
        drvm
        day
        coreHours
        usedCoreHours
        memoryGiBHours
        usedMemoryGiBHours
        diskGiBHours
        readBytes
        writtenBytes
        ioOperations
        receivedBytes
        sentBytes
        energyKWh
      }
      total {
        coreHours
        usedCoreHours
        memoryGiBHours
        usedMemoryGiBHours
        diskGiBHours
        readBytes
        writtenBytes
        ioOperations
        receivedBytes
        sentBytes
        energyKWh
      }
    }
  }
`);
