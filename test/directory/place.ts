import { readFileSync } from 'node:fs';
import { Client } from 'ldapts';
import { type Bed, type BedOptions, startBed } from '../../infra/testbed/bed.ts';
import type { Directory } from '../../infra/testbed/directory.ts';
import { type DirectorySettings, ldapDirectorySource } from '../../src/directory/source.ts';
import type { DirectorySession } from '../../streams/directory-source.ts';
import type { Position } from '../../streams/position.ts';
import { NEVER } from './scripted-dc.ts';

/** A real domain controller, an administrator who changes accounts on it, and settings with which the product reads it. */
export class DirectoryPlace implements AsyncDisposable {
  readonly #bed: Bed;
  #writer: Client;

  private constructor(bed: Bed, writer: Client) {
    this.#bed = bed;
    this.#writer = writer;
  }

  static async start(options: BedOptions = {}): Promise<DirectoryPlace> {
    const bed = await startBed(options);
    try {
      return new DirectoryPlace(bed, await administrator(bed.directory));
    } catch (error) {
      await bed[Symbol.asyncDispose]();
      throw error;
    }
  }

  get directory(): Directory {
    return this.#bed.directory;
  }

  get path(): string {
    return this.#bed.path;
  }

  get namingContext(): string {
    return this.directory.namingContext;
  }

  get writer(): Client {
    return this.#writer;
  }

  /** The administrator again, after the domain controller was away. */
  async logOn(): Promise<void> {
    this.#writer = await administrator(this.directory);
  }

  settings(more: Partial<DirectorySettings> = {}): DirectorySettings {
    const { url, caFile, service } = this.directory;
    return { urls: [url], bindDn: service.bindDn, password: () => service.password, caFile, deadline: 2_000, ...more };
  }

  async open(more: Partial<DirectorySettings> = {}, stored?: Position): Promise<DirectorySession> {
    return await ldapDirectorySource(this.settings(more)).open(() => stored, NEVER);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.unbind().catch(() => {});
    await this.#bed[Symbol.asyncDispose]();
  }
}

async function administrator({ url, caFile, admin }: Directory): Promise<Client> {
  const client = new Client({ url, tlsOptions: { ca: readFileSync(caFile) } });
  await client.bind(admin.bindDn, admin.password);
  return client;
}
