import type { KnownAccounts } from '../change-log.ts';
import type { KnownIdentities } from '../identity.ts';

export type Known = KnownIdentities & Pick<KnownAccounts, 'origins'>;

/** What is known, with each question asked of the log once: for as long as nothing is appended. An account of a page is asked for again and again. */
export function lookedUpOnce(known: Known): Known {
  const identity = once((objectGUID) => known.identity(objectGUID));
  const origins = once((objectGUID) => known.origins(objectGUID));
  const holder = onceOfDomain((domain, name) => known.holder(domain, name));
  const formerHolder = onceOfDomain((domain, name) => known.formerHolder(domain, name));
  return { identity, origins, holder, formerHolder };
}

function once<Value>(ask: (key: string) => Value): (key: string) => Value {
  const answers = new Map<string, { readonly value: Value }>();
  return (key) => {
    const answer = answers.get(key) ?? { value: ask(key) };
    answers.set(key, answer);
    return answer.value;
  };
}

function onceOfDomain<Value>(ask: (domain: string, name: string) => Value): (domain: string, name: string) => Value {
  const domains = new Map<string, (name: string) => Value>();
  return (domain, name) => {
    const askOf = domains.get(domain) ?? once((each) => ask(domain, each));
    domains.set(domain, askOf);
    return askOf(name);
  };
}
