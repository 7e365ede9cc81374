import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { type Account, type AccountKey, type Directory, DirectoryUnreachable } from './directory.ts';

const Accounts = z.array(
  z.object({
    objectGUID: z.guid(),
    objectSid: z.string(),
    sAMAccountName: z.string(),
    userPrincipalName: z.string().optional(),
    enabled: z.boolean().default(true),
    givenName: z.string().optional(),
    sn: z.string().optional(),
    mail: z.string().optional(),
  }),
);

/** A directory that is a JSON file, read anew for each look-up: for the stand-in's own tests, where it stands for no server's behaviour. */
export class FileDirectory implements Directory {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async find(key: AccountKey, values: readonly string[]): Promise<Account[]> {
    const wanted = new Set(values.map((value) => value.toLowerCase()));
    return this.#read().filter((account) => wanted.has((account[key] ?? '').toLowerCase()));
  }

  async close(): Promise<void> {}

  #read(): Account[] {
    try {
      return Accounts.parse(JSON.parse(readFileSync(this.#path, 'utf8'))).map((account) => ({
        ...account,
        objectGUID: account.objectGUID.toLowerCase(),
        userPrincipalName: account.userPrincipalName,
        givenName: account.givenName,
        sn: account.sn,
        mail: account.mail,
      }));
    } catch (error) {
      throw new DirectoryUnreachable(`The directory file ${this.#path} cannot be read`, { cause: error });
    }
  }
}
