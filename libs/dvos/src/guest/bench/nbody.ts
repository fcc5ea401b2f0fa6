import { print } from "../lib/wasi";
// Five bodies under gravity, 600,000 steps: floating point with objects and short loops.
class Body {
  constructor(public x: f64, public y: f64, public z: f64, public vx: f64, public vy: f64, public vz: f64, public mass: f64) {}
}
function advance(bodies: StaticArray<Body>, dt: f64): void {
  const n = bodies.length;
  for (let i = 0; i < n; i++) {
    const a = unchecked(bodies[i]);
    for (let j = i + 1; j < n; j++) {
      const b = unchecked(bodies[j]);
      const dx = a.x - b.x, dy = a.y - b.y, dz = a.z - b.z;
      const d2 = dx * dx + dy * dy + dz * dz;
      const f = dt / (d2 * Math.sqrt(d2));
      a.vx -= dx * b.mass * f; a.vy -= dy * b.mass * f; a.vz -= dz * b.mass * f;
      b.vx += dx * a.mass * f; b.vy += dy * a.mass * f; b.vz += dz * a.mass * f;
    }
  }
  for (let i = 0; i < n; i++) {
    const a = unchecked(bodies[i]);
    a.x += a.vx * dt; a.y += a.vy * dt; a.z += a.vz * dt;
  }
}
export function _start(): void {
  const bodies: StaticArray<Body> = [
    new Body(0, 0, 0, 0, 0, 0, 39.5), new Body(4.8, -1.2, -0.1, 0.6, 2.8, -0.02, 0.037),
    new Body(8.3, 4.1, -0.4, -1.0, 1.8, 0.008, 0.011), new Body(12.9, -15.1, -0.2, 1.1, 0.87, -0.01, 0.0017),
    new Body(15.4, -25.9, 0.18, 0.98, 0.59, -0.03, 0.002),
  ];
  for (let i = 0; i < 600000; i++) advance(bodies, 0.001);
  print(bodies[1].x.toString() + " " + bodies[4].vy.toString());
}
