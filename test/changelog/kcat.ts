import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { eventually } from './pages.ts';

const run = promisify(execFile);

export interface KcatMessage {
  readonly key: string | null;
  readonly payload: string | null;
  /** Name, value, name, value. */
  readonly headers?: string[];
}

/** Everything committed on a topic, as a client by other people reads it. */
export async function kcat(brokers: readonly string[], topic: string): Promise<KcatMessage[]> {
  const options = ['-C', '-J', '-e', '-q', '-o', 'beginning', '-X', 'isolation.level=read_committed', '-X', 'check.crcs=true'];
  const { stdout } = await run('kcat', [...options, '-b', brokers.join(), '-t', topic]);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as KcatMessage);
}

/** The same once there are this many. */
export async function kcatUntil(brokers: readonly string[], topic: string, count: number): Promise<KcatMessage[]> {
  return await eventually(async () => {
    const messages = await kcat(brokers, topic);
    return messages.length >= count ? messages : undefined;
  });
}

export function headersOf({ headers = [] }: KcatMessage): Record<string, string> {
  return Object.fromEntries(headers.flatMap((name, index) => (index % 2 === 0 ? [[name, headers[index + 1] ?? '']] : [])));
}
