import { readFile } from 'node:fs/promises';
import { Attribute, Change, Client } from 'ldapts';
import { expect } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { DirectoryAdmin, type Found, type NewUser } from '../../infra/testbed/ldap.ts';
import { type DirectorySettings, ldapDirectorySource } from '../../src/directory/source.ts';
import type { Identity } from '../../streams/identity.ts';
import { guidTextOf, sidTextOf } from '../support/directory-values.ts';
import { Listening } from './listening.ts';

/** A real domain controller, whoever administers it, and a listener that has read it to its end. */
export class SambaListening implements AsyncDisposable {
  readonly bed: Bed;
  readonly admin: DirectoryAdmin;
  /** For what an administrator of accounts does not do. */
  readonly client: Client;
  readonly listening: Listening;
  readonly warnings: string[];

  private constructor(bed: Bed, admin: DirectoryAdmin, client: Client, listening: Listening, warnings: string[]) {
    this.bed = bed;
    this.admin = admin;
    this.client = client;
    this.listening = listening;
    this.warnings = warnings;
  }

  static async start(): Promise<SambaListening> {
    const bed = await startBed();
    const { directory } = bed;
    const admin = await DirectoryAdmin.connect(directory);
    const client = new Client({ url: directory.url, tlsOptions: { ca: await readFile(directory.caFile) } });
    await client.bind(directory.admin.bindDn, directory.admin.password);
    const warnings: string[] = [];
    const source = ldapDirectorySource(settingsOf(bed, { warn: (warning) => warnings.push(warning) }));
    const mark = await admin.create({ sAMAccountName: 'mark' });
    return new SambaListening(bed, admin, client, await new Listening(source, mark.objectGUID, marking(admin, mark)).start(), warnings);
  }

  get namingContext(): string {
    return this.bed.directory.namingContext;
  }

  /** An account that the listener knows already. */
  async known(user: NewUser): Promise<Found> {
    const found = await this.admin.create(user);
    await this.listening.events(async () => {});
    return found;
  }

  /** Any values of any attribute, also bytes that are no text. */
  async write(
    objectGUID: string,
    type: string,
    values: readonly (string | Buffer)[],
    operation: Change['operation'] = 'replace',
  ): Promise<void> {
    const modification = new Attribute({ type, values: [...values] as string[] | Buffer[] });
    await this.client.modify(`<GUID=${objectGUID}>`, new Change({ operation, modification }));
  }

  /** What is known has to be what an ordinary search shows. */
  async expectKnown(): Promise<void> {
    const shown = await this.#search();
    expect(this.listening.log.known.identities).toEqual(new Map(shown.map((identity) => [identity.objectGUID, identity])));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.listening[Symbol.asyncDispose]();
    await this.admin[Symbol.asyncDispose]();
    await this.client.unbind();
    await this.bed[Symbol.asyncDispose]();
  }

  async #search(): Promise<Identity[]> {
    const texts = ['userPrincipalName', 'displayName', 'givenName', 'sn', 'mail'] as const;
    const binary = ['objectGUID', 'objectSid'];
    const { searchEntries } = await this.client.search(this.namingContext, {
      filter: '(&(objectClass=user)(!(objectClass=computer)))',
      attributes: [...binary, 'sAMAccountName', 'userAccountControl', ...texts],
      explicitBufferAttributes: binary,
    });
    return searchEntries.map((entry) => {
      const identity: Identity = {
        objectGUID: guidTextOf(entry.objectGUID as Buffer),
        objectSid: sidTextOf(entry.objectSid as Buffer),
        domain: this.bed.directory.netbios,
        sAMAccountName: String(entry.sAMAccountName),
        enabled: (Number(entry.userAccountControl) & 2) === 0,
      };
      for (const type of texts) {
        const value = entry[type];
        if (typeof value === 'string') identity[type] = value;
      }
      return identity;
    });
  }
}

export function settingsOf({ directory }: Bed, more: Partial<DirectorySettings> = {}): DirectorySettings {
  const { url, caFile, service } = directory;
  return { urls: [url], bindDn: service.bindDn, password: () => service.password, caFile, ...more };
}

function marking(admin: DirectoryAdmin, { objectGUID }: Found): ConstructorParameters<typeof Listening>[2] {
  let marks = 0;
  return async () => {
    const mail = `mark${++marks}@example.test`;
    await admin.set(objectGUID, { mail });
    return ({ known }) => known.identity(objectGUID)?.mail === mail;
  };
}
