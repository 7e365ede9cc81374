import { readFile } from 'node:fs/promises';
import { Client, Control, type SearchOptions } from 'ldapts';
import type { Directory } from './directory.ts';

const SHOW_DELETED = '1.2.840.113556.1.4.417';
const DEADLINE = 10_000;

/** Whether `from` has changes in the domain that `to` has not. */
export async function lags(to: Directory, from: Directory): Promise<boolean> {
  const vector = await reading(to, async (client) => upToDateness(await bytesOf(client, to.namingContext, 'replUpToDateVector')));
  return await reading(from, async (client) => {
    const invocation = (await bytesOf(client, await ntdsSettings(client), 'invocationId')).toString('hex');
    const filter = `(uSNChanged>=${(vector.get(invocation) ?? 0n) + 1n})`;
    const options: SearchOptions = { scope: 'sub', filter, attributes: ['1.1'], paged: true };
    const { searchEntries } = await client.search(from.namingContext, options, new Control(SHOW_DELETED, { critical: true }));
    return searchEntries.length > 0;
  });
}

/** Its own entry among the servers of the forest. */
async function ntdsSettings(client: Client): Promise<string> {
  const { searchEntries } = await client.search('', { scope: 'base', attributes: ['dsServiceName'] });
  return String(searchEntries[0]?.dsServiceName);
}

async function reading<Result>(directory: Directory, read: (client: Client) => Promise<Result>): Promise<Result> {
  const { url, caFile, service } = directory;
  const client = new Client({ url, timeout: DEADLINE, connectTimeout: DEADLINE, tlsOptions: { ca: await readFile(caFile) } });
  try {
    await client.bind(service.bindDn, service.password);
    return await read(client);
  } finally {
    await client.unbind();
  }
}

/** Absent values are empty. */
async function bytesOf(client: Client, dn: string, attribute: string): Promise<Buffer> {
  const options: SearchOptions = { scope: 'base', attributes: [attribute], explicitBufferAttributes: [attribute] };
  const { searchEntries } = await client.search(dn, options);
  const value = searchEntries[0]?.[attribute];
  return Buffer.isBuffer(value) ? value : Buffer.alloc(0);
}

/** invocationId, as hexadecimal digits of its bytes, to the USN up to which that domain controller's changes are here; MS-DRSR 5.167. */
function upToDateness(vector: Buffer): Map<string, bigint> {
  const [HEADER, RECORD] = [16, 32];
  const cursors = new Map<string, bigint>();
  for (let at = HEADER; at + RECORD <= vector.length; at += RECORD) {
    cursors.set(vector.subarray(at, at + 16).toString('hex'), vector.readBigUInt64LE(at + 16));
  }
  return cursors;
}
