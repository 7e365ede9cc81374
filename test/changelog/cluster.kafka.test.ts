import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { kafkaPlace } from './kafka-place.ts';
import { expectConsistent, persist } from './persistence.ts';

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ directory: false, brokers: 3 });
}, 120_000);

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

describe('three brokers that lead three partitions', () => {
  it('hold every event once, also when one of them is killed meanwhile (SPEC rules 1, 2)', async () => {
    const place = kafkaPlace(bed, { partitions: 3 });
    await persist(place, 150);
    await expectConsistent(place, 150);
    let killed: Promise<void> | undefined;
    await persist(place, 250, (sequence) => {
      if (sequence >= 170) killed ??= bed.broker.nodes[0]?.kill();
    });
    await killed;
    expect(bed.broker.nodes[0]?.pid).toBeUndefined();
    await expectConsistent(place, 250);
    await bed.broker.nodes[0]?.start();
    await persist(place, 300);
    await expectConsistent(place, 300);
  });
});
