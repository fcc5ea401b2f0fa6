/**
 * How many runnable processes wait for a CPU, on average, where `capacityMilli` serves `loadMilli`: the queue of an
 * M/M/c system in the approximation of Sakasegawa (1977), u^sqrt(2(c+1)) / (1-u), with c vCPUs and utilisation u.
 * It is almost nothing below 60 % of a large node and grows steeply above 80 %: moves are worth making where
 * somebody waits, and equal bars are no goal of their own. From 85 % on it goes on as its tangent, or as one
 * process for each vCPU that is missing where that is more: overload has a finite price that tells more from less.
 */
export function strainOf(loadMilli: number, capacityMilli: number): number {
  if (loadMilli <= 0) return 0;
  const servers = Math.max(1, capacityMilli / 1000);
  const utilisation = loadMilli / Math.max(1, capacityMilli);
  const exponent = Math.sqrt(2 * (servers + 1));
  if (utilisation <= TANGENT_FROM) return utilisation ** exponent / (1 - utilisation);
  const at = TANGENT_FROM ** exponent / (1 - TANGENT_FROM);
  const slope = Math.max(servers, at * (exponent / TANGENT_FROM + 1 / (1 - TANGENT_FROM)));
  return at + slope * (utilisation - TANGENT_FROM);
}

const TANGENT_FROM = 0.85;
