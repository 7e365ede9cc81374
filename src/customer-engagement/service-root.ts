import { CustomerEngagementError } from '../../streams/customer-engagement.ts';

/** The address below which all requests of one organization stay. */
export class ServiceRoot {
  readonly origin: string;
  readonly #prefix: string;

  /** @throws Error when the address cannot be used */
  constructor(settings: { url: string; apiVersion: string; allowClearText?: boolean | undefined }) {
    const url = URL.parse(settings.url);
    if (url === null) throw new Error('url is not an address');
    if (url.username !== '' || url.password !== '') throw new Error('url must not hold credentials');
    if (url.search !== '' || url.hash !== '') throw new Error('url must end after the organization, without ? or #');
    if (url.protocol !== 'https:' && !(url.protocol === 'http:' && settings.allowClearText)) {
      throw new Error('url must start with https: (http: sends credentials in clear text, and only with allowClearText)');
    }
    this.origin = url.origin;
    this.#prefix = `${url.pathname.replace(/\/+$/, '')}/api/data/${settings.apiVersion}/`;
  }

  /** Path and query of something below the root. */
  path(below: string): string {
    return this.#prefix + below;
  }

  /**
   * Path and query of a link that the server gave, unchanged: a page cookie is already encoded, and encoding it again breaks it.
   *
   * @throws CustomerEngagementError when the link leads out of this organization
   */
  follow(link: string): string {
    const url = URL.parse(link);
    const path = /^https?:\/\/[^/?#\\]+(\/[\x21-\x7e]*)$/i.exec(link)?.[1];
    if (url === null || url.origin !== this.origin || url.username !== '' || url.password !== '') {
      const to = url === null ? 'nowhere' : url.origin;
      throw new CustomerEngagementError('transient', `the next page is said to be at ${to}, and credentials go only to ${this.origin}`);
    }
    // The path as the server will understand it (dots resolved) has to be the one that is sent. IIS ignores its case.
    const plain = path?.split(/[?#]/)[0];
    if (path === undefined || url.hash !== '' || plain !== url.pathname || !plain.toLowerCase().startsWith(this.#prefix.toLowerCase())) {
      throw new CustomerEngagementError('transient', `the next page is not below ${this.#prefix}`);
    }
    return path;
  }
}
