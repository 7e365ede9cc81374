import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { CustomerEngagementError } from '../../../streams/customer-engagement.ts';
import { all, readAnswer } from '../answers.ts';
import { recordPath } from '../records.ts';
import { READ_HEADERS, Requests, type Settings, WRITE_HEADERS } from '../requests.ts';
import type { Answer } from '../transport.ts';

const Version = z.object({ Version: z.string() });
const Metadata = z.object({ IsOptimisticConcurrencyEnabled: z.boolean() });
const Roles = z.object({ value: z.array(z.object({ _roletemplateid_value: z.guid().nullable() })) });

/** What only the probe asks of the Web API: one request each, and every error is a CustomerEngagementError. */
export class ProbedServer {
  /** How it logs on. Never a secret. */
  readonly logon: string;
  readonly apiVersion: string;
  readonly #requests: Requests;

  /** @throws Error when the settings cannot be used */
  constructor(settings: Settings) {
    this.logon = settings.auth.method;
    this.apiVersion = settings.apiVersion;
    this.#requests = new Requests({ ...settings, connections: 1 });
  }

  /** Such as 9.1.18.22: RetrieveVersion, which needs no privilege. */
  async version(): Promise<string> {
    return (await this.#read('RetrieveVersion()', Version)).Version;
  }

  /** Of systemuser, as the metadata say. */
  async hasOptimisticConcurrency(): Promise<boolean> {
    const path = "EntityDefinitions(LogicalName='systemuser')?$select=IsOptimisticConcurrencyEnabled";
    return (await this.#read(path, Metadata)).IsOptimisticConcurrencyEnabled;
  }

  /** The templates that the security roles of a user are made of: those that he has himself, not by way of a team. */
  async roles(systemuserid: string): Promise<string[]> {
    const path = `systemusers(${systemuserid})/systemuserroles_association?$select=_roletemplateid_value`;
    return (await this.#read(path, Roles)).value.flatMap(({ _roletemplateid_value: template }) => template?.toLowerCase() ?? []);
  }

  /**
   * Gives a record these user names one after the other, in one change set.
   *
   * @throws CustomerEngagementError with what the server says to the one that it refuses
   * @see https://github.com/MicrosoftDocs/dynamics-365-customer-engagement/blob/main/ce/developer/webapi/execute-batch-operations-using-web-api.md
   */
  async changeSet(systemuserid: string, domainNames: readonly string[]): Promise<void> {
    const [batch, set] = [`batch_${randomUUID()}`, `changeset_${randomUUID()}`];
    const { prefer: _, accept, ...partHeaders } = WRITE_HEADERS;
    const headers = { accept, 'odata-version': '4.0', 'odata-maxversion': '4.0', 'content-type': `multipart/mixed;boundary=${batch}` };
    const target = `${this.#requests.root.origin}${this.#requests.root.path(recordPath(systemuserid))}`;
    const parts = domainNames.map((domainname, index) => {
      const own = Object.entries(partHeaders).map(([name, value]) => `${name}: ${value}`);
      const request = [`PATCH ${target} HTTP/1.1`, ...own, '', JSON.stringify({ domainname })];
      const envelope = ['Content-Type: application/http', 'Content-Transfer-Encoding: binary', `Content-ID: ${index + 1}`, ''];
      return [`--${set}`, ...envelope, ...request].join('\r\n');
    });
    const body = [`--${batch}`, `Content-Type: multipart/mixed;boundary=${set}`, '', ...parts, `--${set}--`, '', `--${batch}--`, ''].join(
      '\r\n',
    );
    await this.#requests.named(async () => {
      const answer = await this.#requests.send({ method: 'POST', path: this.#requests.root.path('$batch'), headers, body }, 'write');
      const answers = all(answer, 'content-type').some((type) => type.startsWith('multipart/mixed')) ? partsOf(answer) : [answer];
      for (const part of answers) if (part.status >= 300) readAnswer(part, z.unknown(), 'write');
      const written = answers.filter(({ status }) => status === 200 || status === 204).length;
      if (written < domainNames.length || answers.includes(answer))
        throw new CustomerEngagementError('unknown-outcome', 'the answer to a change set does not say what became of its parts', {
          status: answer.status,
        });
    });
  }

  async close(): Promise<void> {
    await this.#requests.close();
  }

  async #read<S extends z.ZodType>(below: string, schema: S): Promise<z.output<S>> {
    return await this.#requests.named(async () => {
      const answer = await this.#requests.send({ method: 'GET', path: this.#requests.root.path(below), headers: READ_HEADERS }, 'read');
      return readAnswer(answer, schema, 'read');
    });
  }
}

/** The answers within a multipart one, in whatever it nests them. */
function partsOf({ body }: Answer): Answer[] {
  return body
    .toString('utf8')
    .split(/^HTTP\/1\.1 /m)
    .slice(1)
    .map((text) => {
      const [, content = ''] = /\r?\n\r?\n([\s\S]*)$/.exec(text) ?? [];
      // What follows is the boundary.
      const json = content.slice(0, content.lastIndexOf('}') + 1);
      return { status: Number.parseInt(text, 10), headers: { 'content-type': 'application/json' }, body: Buffer.from(json) };
    });
}
