import { useFormatter } from 'next-intl';

const WH_PER_KWH = 1_000;

/** Power and energy as a person reads them; less than a tenth of a kWh is told in Wh. */
export function useEnergyWords() {
  const format = useFormatter();
  const number = (value: number, digits: number) => format.number(value, { maximumFractionDigits: digits });
  return {
    watts: (value: number): string => `${number(value, 1)} W`,
    kWh: (value: number): string =>
      Math.abs(value) < 0.1 ? `${number(value * WH_PER_KWH, 2)} Wh` : `${number(value, 2)} kWh`,
  };
}
