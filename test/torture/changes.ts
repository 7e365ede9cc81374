import type { Random } from '../support/chain-random.ts';
import type { Accounts } from './accounts.ts';
import type { Controller } from './controller.ts';

/** Deletions at once that are more than the listener tells without being asked. */
const MANY = 7;
const FEWEST = 4;

type Kind = (accounts: Accounts, on: Controller, random: Random, kind: string) => Promise<void>;

const KINDS: Readonly<Record<string, { readonly weight: number; readonly change: Kind }>> = {
  create: { weight: 5, change: (accounts, on, _, kind) => accounts.create(kind, on, accounts.freshName()) },
  'create-reused': { weight: 2, change: (accounts, on, _, kind) => accounts.create(kind, on, accounts.usedName()) },
  rename: { weight: 12, change: (accounts, on, _, kind) => accounts.rename(kind, on, accounts.someone(), accounts.freshName()) },
  reuse: { weight: 6, change: (accounts, on, _, kind) => accounts.rename(kind, on, accounts.someone(), accounts.usedName()) },
  case: {
    weight: 3,
    change: async (accounts, on, _, kind) => {
      const objectGUID = accounts.someone();
      const name = accounts.living.get(objectGUID) ?? '';
      await accounts.rename(kind, on, objectGUID, name === name.toUpperCase() ? name.toLowerCase() : name.toUpperCase());
    },
  },
  swap: { weight: 3, change: (accounts, on, _, kind) => exchange(accounts, on, kind, 2) },
  chain: { weight: 2, change: (accounts, on, _, kind) => exchange(accounts, on, kind, 3) },
  profile: {
    weight: 8,
    change: async (accounts, on, random, kind) => {
      const text = accounts.freshText();
      const values = random.pick<Record<string, string>>([
        { displayName: text },
        { givenName: text, sn: accounts.freshText() },
        { mail: `${text}@example.test` },
      ]);
      const objectGUID = accounts.someone();
      await accounts.set(kind, on, objectGUID, values);
    },
  },
  clear: {
    weight: 4,
    change: async (accounts, on, random, kind) => {
      const objectGUID = accounts.someone();
      const attribute = random.pick(['displayName', 'givenName', 'sn', 'mail', 'userPrincipalName']);
      await accounts.set(kind, on, objectGUID, { [attribute]: null });
    },
  },
  upn: {
    weight: 4,
    change: async (accounts, on, _, kind) => {
      const objectGUID = accounts.someone();
      const userPrincipalName = `${accounts.freshText()}@corp.example.test`;
      await accounts.set(kind, on, objectGUID, { userPrincipalName });
    },
  },
  disable: { weight: 3, change: (accounts, on, _, kind) => accounts.setEnabled(kind, on, accounts.someone(), false) },
  enable: { weight: 3, change: (accounts, on, _, kind) => accounts.setEnabled(kind, on, accounts.someone(), true) },
  move: { weight: 3, change: (accounts, on, _, kind) => accounts.move(kind, on, accounts.someone()) },
  'rename-unit': { weight: 1, change: (accounts, on, _, kind) => accounts.renameUnit(kind, on) },
  delete: {
    weight: 3,
    change: async (accounts, on, _, kind) => {
      if (accounts.living.size > FEWEST) await accounts.delete(kind, on, accounts.someone());
    },
  },
  reanimate: {
    weight: 4,
    change: async (accounts, on, random, kind) => {
      if (accounts.dead.size > 0) await accounts.reanimate(kind, on, random.pick([...accounts.dead]));
    },
  },
};

const DRAWN = Object.entries(KINDS).flatMap(([kind, { weight, change }]) => Array.from({ length: weight }, () => ({ kind, change })));

/**
 * One random change; some take several writes.
 *
 * @param mayCreate false where a new account could get the SID of another one, as after a roll-back
 */
export async function changeSomething(accounts: Accounts, on: Controller, random: Random, mayCreate: boolean): Promise<void> {
  const { kind, change } = random.pick(DRAWN);
  if (mayCreate || !kind.startsWith('create')) await change(accounts, on, random, kind);
}

export async function deleteMany(accounts: Accounts, on: Controller): Promise<void> {
  for (let count = 0; count < MANY && accounts.living.size > FEWEST; count++) {
    await accounts.delete('delete-many', on, accounts.someone());
  }
}

/** So many accounts pass their names on to the next, by way of a name of nobody. */
async function exchange(accounts: Accounts, on: Controller, kind: string, size: number): Promise<void> {
  const chosen = new Set<string>();
  while (chosen.size < Math.min(size, accounts.living.size)) chosen.add(accounts.someone());
  const [first = '', ...others] = chosen;
  let free = accounts.living.get(first) ?? '';
  await accounts.rename(kind, on, first, accounts.freshName());
  for (const objectGUID of others) {
    const next = accounts.living.get(objectGUID) ?? '';
    await accounts.rename(kind, on, objectGUID, free);
    free = next;
  }
  await accounts.rename(kind, on, first, free);
}
