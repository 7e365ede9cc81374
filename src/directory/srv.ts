import type { SrvRecord } from 'node:dns';

/**
 * The order in which RFC 2782 has services tried: by priority, and within one at random, whoever has more weight sooner.
 *
 * @param random from 0 up to 1
 */
export function inOrder(records: readonly SrvRecord[], random: () => number = Math.random): SrvRecord[] {
  const priorities = [...new Set(records.map(({ priority }) => priority))].sort((a, b) => a - b);
  return priorities.flatMap((priority) => {
    // Those without weight come first, so that they too have a small chance.
    const left = records.filter((record) => record.priority === priority).sort((a, b) => Number(a.weight > 0) - Number(b.weight > 0));
    const ordered: SrvRecord[] = [];
    while (left.length > 0) ordered.push(...left.splice(drawn(left, random), 1));
    return ordered;
  });
}

function drawn(records: readonly SrvRecord[], random: () => number): number {
  const total = records.reduce((sum, { weight }) => sum + weight, 0);
  const lot = Math.floor(random() * (total + 1));
  let sum = 0;
  return records.findIndex(({ weight }) => {
    sum += weight;
    return sum >= lot;
  });
}
