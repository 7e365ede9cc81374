import { readFile } from 'node:fs/promises';
import { Attribute, Change, Client, Control, type SearchOptions } from 'ldapts';
import type { Account, Directory } from './directory.ts';

const SHOW_DELETED = '1.2.840.113556.1.4.417';
const DEADLINE = 10_000;
/** NTDSDSA_OPT_DISABLE_INBOUND_REPL among the options of an nTDSDSA object; MS-ADTS 6.1.1.2.2.1.2.1.1. */
const DISABLE_INBOUND = 0x2;

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

/** Says on `at` whether `dc` pulls anything by itself; `dc` hears of it with the configuration naming context. */
export async function allowInbound(at: Directory, dc: Directory, isAllowed: boolean): Promise<void> {
  const dn = await reading(dc, ntdsSettings);
  await reading(
    at,
    async (client) => {
      const options = Number((await bytesOf(client, dn, 'options')).toString());
      const values = [String(isAllowed ? options & ~DISABLE_INBOUND : options | DISABLE_INBOUND)];
      await client.modify(dn, new Change({ operation: 'replace', modification: new Attribute({ type: 'options', values }) }));
    },
    at.admin,
  );
}

/** Its own entry among the servers of the forest. */
async function ntdsSettings(client: Client): Promise<string> {
  const { searchEntries } = await client.search('', { scope: 'base', attributes: ['dsServiceName'] });
  return String(searchEntries[0]?.dsServiceName);
}

async function reading<Result>(
  { url, caFile, service }: Directory,
  read: (client: Client) => Promise<Result>,
  account: Account = service,
): Promise<Result> {
  const client = new Client({ url, timeout: DEADLINE, connectTimeout: DEADLINE, tlsOptions: { ca: await readFile(caFile) } });
  try {
    await client.bind(account.bindDn, account.password);
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
