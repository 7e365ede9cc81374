import { setImmediate as moment } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { DirectoryError, type Page, type WholeObject } from '../../../streams/directory-source.ts';
import { AheadReader } from '../../../streams/listener/ahead.ts';

const OBSERVATION = { objectGUID: '00000000-0000-4000-8000-000000000001', dn: 'CN=somebody', seen: {} };
const HALF: Page = { observations: [OBSERVATION], position: undefined, last: false, isHalfAnAnswer: true };
const WHOLE: Page = { observations: [OBSERVATION], position: undefined, last: false };
const LOST = new DirectoryError('unavailable', 'connection lost');

/** What is asked for, in its order. */
function directory(...pages: readonly (Page | Error)[]) {
  const asked: string[] = [];
  let given = 0;
  const next = async () => {
    asked.push(`page ${given + 1}`);
    const page = pages[given++];
    if (page === undefined || page instanceof Error) throw page ?? new Error('nothing more was to be read');
    return page;
  };
  const readObjects = async (objectGUIDs: readonly string[]): Promise<ReadonlyMap<string, WholeObject>> => {
    asked.push(`${objectGUIDs.length} whole`);
    return new Map();
  };
  return { asked, reader: { next }, readObjects };
}

describe('the next page is ready', () => {
  test('while one of the same answer is published, and so are its objects', async () => {
    const { asked, reader, readObjects } = directory(HALF, HALF, WHOLE);
    const ahead = new AheadReader(reader, readObjects);
    await ahead.next();
    await moment();
    expect(asked).toEqual(['page 1', '1 whole', 'page 2', '1 whole']);
    await ahead.next();
    await ahead.next();
    await moment();
    expect(asked.slice(4)).toEqual(['page 3', '1 whole']);
  });

  test('but nothing is asked for beyond the end of an answer', async () => {
    const { asked, reader } = directory(WHOLE);
    const page = await new AheadReader(reader, undefined).next();
    await moment();
    expect(page.wholes).toBeUndefined();
    expect(asked).toEqual(['page 1']);
  });
});

test('a failure ahead of time is told when its turn comes, and not before', async () => {
  const { reader } = directory(HALF, LOST);
  const refused = () => Promise.reject(LOST);
  const ahead = new AheadReader(reader, refused);
  const page = await ahead.next();
  await moment();
  expect(page.observations).toHaveLength(1);
  await expect(page.wholes).rejects.toBe(LOST);
  await expect(ahead.next()).rejects.toBe(LOST);
});
