import { DirectoryError } from '../../streams/directory-source.ts';
import type { Position } from '../../streams/position.ts';
import { DIRSYNC } from './controls.ts';
import { type DomainController, notOurs } from './root-dse.ts';

/** Flag of the DirSync control: everything that the account may see, without the right to replicate (MS-ADTS 3.1.1.3.4.1.3). */
const OBJECT_SECURITY = 0x1;

export interface MethodSettings {
  /**
   * `dirsync`: only so. `usn`: by uSNChanged, which needs no right beyond reading. `auto`: by DirSync, and by uSNChanged where that is
   * refused; then also later, since each change of the method takes a full comparison. Default `dirsync`.
   */
  readonly source?: 'dirsync' | 'usn' | 'auto' | undefined;
  /** DirSync of what the account may see: the right to replicate is not needed. */
  readonly objectSecurity?: boolean | undefined;
  /** DN below which accounts are followed, of `usn` only. Default: the naming context. */
  readonly base?: string | undefined;
}

/** How changes are read. A position continues only what was read in the same way. */
export type Method = { readonly source: 'dirsync'; readonly flags: number } | { readonly source: 'usn'; readonly base: string };

/** Decides how a domain controller is read, and remembers which of them refused DirSync. */
export class Methods {
  readonly #settings: MethodSettings;
  /** invocationIds. */
  readonly #refusing = new Set<string>();

  /** @throws DirectoryError of kind 'configuration' when the settings do not go together */
  constructor(settings: MethodSettings) {
    const { source = 'dirsync', objectSecurity = false, base } = settings;
    if (base !== undefined && source !== 'usn') {
      throw new DirectoryError('configuration', `DirSync reads whole domains: base ${base} needs source: usn`);
    }
    if (objectSecurity && source === 'usn') throw new DirectoryError('configuration', 'objectSecurity is for DirSync; source is usn');
    this.#settings = settings;
  }

  /** @throws DirectoryError of kind 'configuration' when there is no way */
  choose(stored: Position | undefined, here: DomainController): Method {
    const { source = 'dirsync', objectSecurity = false, base = here.namingContext } = this.#settings;
    const isDirSyncOut =
      stored?.source === 'usn' || !here.hasDirSync || here.replication.isReadOnly || this.#refusing.has(here.invocationId);
    if (source === 'usn' || (source === 'auto' && isDirSyncOut)) return { source: 'usn', base };
    if (!here.hasDirSync) {
      throw notOurs(here.dc, 'DirSync', DIRSYNC);
    }
    return { source: 'dirsync', flags: objectSecurity ? OBJECT_SECURITY : 0 };
  }

  /** @returns what to do about a refused DirSync: the error itself, or one after which the next session reads by uSNChanged */
  afterRefusal(error: DirectoryError, here: DomainController): DirectoryError {
    if (this.#settings.source !== 'auto') return error;
    this.#refusing.add(here.invocationId);
    return new DirectoryError('unavailable', `${error.message}; it is read by uSNChanged from now on`, { cause: error });
  }
}

export function isObjectSecurity(flags: number): boolean {
  return (flags & OBJECT_SECURITY) !== 0;
}

/** What cannot be followed in this way, in sentences for a person. */
export function limitsOf(method: Method, namingContext: string): string[] {
  if (method.source === 'dirsync') {
    return isObjectSecurity(method.flags) ? ofSight('It reads by DirSync with OBJECT_SECURITY') : [];
  }
  const limits = [
    ...ofSight('It reads by uSNChanged'),
    'It reads by uSNChanged: the first read of another domain controller is a full comparison.',
  ];
  if (isWholeDomain(method, namingContext)) return limits;
  return [
    ...limits,
    `It reads only what is below ${method.base}: an account that is moved out of there is noticed at the next look at who is in scope (listener.scopeEvery).`,
  ];
}

export function isWholeDomain({ base }: { readonly base: string }, namingContext: string): boolean {
  return base.toLowerCase() === namingContext.toLowerCase();
}

function ofSight(how: string): string[] {
  return [
    `${how}: what the account of the listener may not see is not followed, and what goes out of its sight looks unchanged.`,
    `${how}: deletions are seen only if that account may read CN=Deleted Objects.`,
  ];
}
