import { type DirectorySettings, ldapDirectorySource } from '../../src/directory/source.ts';
import { FakeDirectory } from '../support/fake-directory.ts';
import { FakeDomainController } from '../support/fake-domain-controller.ts';
import { LdapServer } from '../support/ldap-server.ts';
import { Listening } from './listening.ts';
import { settingsFor } from './scripted-dc.ts';

/** A fake domain controller that serves, and listeners on it. */
export class FakeListening implements AsyncDisposable {
  readonly directory: FakeDirectory;
  readonly dc: FakeDomainController;
  readonly server: LdapServer;
  readonly warnings: string[] = [];
  readonly #mark: string;
  #marks = 0;

  private constructor(dc: FakeDomainController, server: LdapServer) {
    this.dc = dc;
    this.directory = dc.directory;
    this.server = server;
    this.#mark = this.directory.addUser({ sAMAccountName: 'mark' });
  }

  static async start(directory = new FakeDirectory()): Promise<FakeListening> {
    const dc = new FakeDomainController(directory);
    return new FakeListening(dc, await LdapServer.start(dc.answer));
  }

  listener(more: Partial<DirectorySettings> = {}): Promise<Listening> {
    const source = ldapDirectorySource(settingsFor(this.server, { warn: (warning) => this.warnings.push(warning), ...more }));
    const mark = async () => {
      const mail = `mark${++this.#marks}@example.test`;
      this.directory.modify(this.#mark, { mail });
      return ({ known }: Listening['log']) => known.identity(this.#mark)?.mail === mail;
    };
    return new Listening(source, this.#mark, mark).start();
  }

  dn(cn: string): string {
    return `CN=${cn},${this.directory.namingContext}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
  }
}
