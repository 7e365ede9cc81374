import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import type { ConfigInput } from '../../infra/customer-engagement/config.ts';
import { ControlClient, type Seed } from '../../infra/customer-engagement/control-client.ts';
import { bearer } from '../../src/customer-engagement/authentication.ts';
import { customerEngagement, type Settings } from '../../src/customer-engagement/client.ts';
import type { CustomerEngagement } from '../../streams/customer-engagement.ts';
import { certificate } from '../support/http-server.ts';

export const CALLER = '00000000-0000-4000-8000-00000000000a';
export const TOKEN = 'token-of-the-stand-in';

export interface StandIn extends AsyncDisposable {
  readonly ce: CustomerEngagement;
  readonly control: ControlClient;
  readonly origin: string;
  /** Of its client. */
  readonly settings: Settings;
  /** Another client of the same server. */
  client(settings: Partial<Settings>): CustomerEngagement;
  /** Replaces the directory's accounts, by sAMAccountName; the same number stays the same account. */
  setAccounts(accounts: Readonly<Record<number, string>>): void;
  /** Replaces them by whole accounts. */
  setDirectory(accounts: readonly DirectoryAccount[]): void;
}

export interface DirectoryAccount {
  readonly objectGUID: string;
  readonly objectSid: string;
  readonly sAMAccountName: string;
  readonly userPrincipalName?: string | undefined;
  readonly enabled?: boolean;
  readonly givenName?: string | undefined;
  readonly sn?: string | undefined;
  readonly mail?: string | undefined;
}

/** The stand-in as a process of its own, over TLS, with a directory of numbered accounts. */
export async function standIn(
  dialect: '8.2' | '9.0' | '9.1',
  accounts: Readonly<Record<number, string>> | readonly DirectoryAccount[],
  seed: readonly Seed[],
): Promise<StandIn> {
  const directory = mkdtempSync(join(tmpdir(), 'stand-in-'));
  const tls = certificate('IP:127.0.0.1');
  const directoryFile = join(directory, 'directory.json');
  // Whole at any moment, since it is read for each look-up.
  const setDirectory = (whole: readonly unknown[]) => {
    writeFileSync(`${directoryFile}.new`, JSON.stringify(whole));
    renameSync(`${directoryFile}.new`, directoryFile);
  };
  const setAccounts = (named: Readonly<Record<number, string>>) => setDirectory(Object.entries(named).map(account));
  if (Array.isArray(accounts)) setDirectory(accounts);
  else setAccounts(accounts as Readonly<Record<number, string>>);
  const config: ConfigInput = {
    stateFile: join(directory, 'records'),
    requestLog: join(directory, 'requests'),
    listen: { host: '127.0.0.1', port: 0 },
    control: { host: '127.0.0.1', port: 0 },
    tls: { keyFile: tls.keyFile, certFile: tls.file },
    organization: 'contoso',
    dialect,
    token: TOKEN,
    basic: { user: 'CORP\\svc-namesake', password: 'pass:wörd' },
    caller: CALLER,
    directory: { file: directoryFile, netbios: 'CORP' },
    seed: [...seed],
  };
  const configFile = join(directory, 'config.json');
  writeFileSync(configFile, JSON.stringify(config));
  const child = spawn(process.execPath, ['infra/customer-engagement/main.ts', configFile], { stdio: ['ignore', 'pipe', 'inherit'] });
  const { port, controlPort } = await ready(child);
  const origin = `https://127.0.0.1:${port}`;
  const settings: Settings = {
    name: 'contoso',
    url: `${origin}/contoso`,
    apiVersion: `v${dialect}`,
    caFile: tls.file,
    auth: bearer(() => TOKEN),
  };
  const client = (own: Partial<Settings>) => customerEngagement({ ...settings, ...own });
  const ce = client({});
  return {
    ce,
    control: new ControlClient(`http://127.0.0.1:${controlPort}`),
    origin,
    settings,
    client,
    setAccounts,
    setDirectory,
    async [Symbol.asyncDispose]() {
      await ce.close();
      child.kill();
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      tls[Symbol.dispose]();
      rmSync(directory, { recursive: true });
    },
  };
}

function account([number, sAMAccountName]: [string, string]): Record<string, string> {
  return {
    objectGUID: `11111111-0000-4000-8000-${number.padStart(12, '0')}`,
    objectSid: `S-1-5-21-1-2-3-${number}`,
    sAMAccountName,
  };
}

const Ports = z.object({ port: z.int(), controlPort: z.int() });

async function ready(child: ChildProcess): Promise<z.infer<typeof Ports>> {
  if (child.stdout === null) throw new Error('no output to read');
  for await (const line of createInterface(child.stdout)) if (line.startsWith('ready ')) return Ports.parse(JSON.parse(line.slice(6)));
  throw new Error('the stand-in did not start');
}
