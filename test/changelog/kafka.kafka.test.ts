import { afterAll, beforeAll } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { contract } from './contract.ts';
import { kafkaPlace } from './kafka-place.ts';

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ directory: false, brokers: 1 });
}, 90_000);

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

contract({ name: 'Kafka', passesOnWithin: 10_000, kills: 2, runs: 3, place: async () => kafkaPlace(bed) });
contract({
  name: 'Kafka with three partitions',
  passesOnWithin: 10_000,
  kills: 1,
  runs: 3,
  place: async () => kafkaPlace(bed, { partitions: 3 }),
});
