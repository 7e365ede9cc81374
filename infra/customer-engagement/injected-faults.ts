import { z } from 'zod';

const When = z.enum(['before', 'after']).default('before');
const status = z.int().min(200).max(599);

/**
 * What goes wrong. `before`: nothing was written; `after`: a write was committed and only its answer suffers.
 * `truncate` and `drop-after-write` always come after, `drop-before` before.
 */
export const Injected = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('latency'), ms: z.number().min(0), when: When }),
  z.strictObject({
    kind: z.literal('status'),
    status,
    /** As a number or as hex text. */
    code: z.union([z.int(), z.string().regex(/^0x[0-9a-f]{1,8}$/i)]).default(0x80040216),
    message: z.string().default('An unexpected error occurred.'),
    /** Seconds, or an HTTP date. */
    retryAfter: z.union([z.int().min(0), z.string()]).optional(),
    when: When,
  }),
  z.strictObject({
    kind: z.literal('html'),
    status,
    body: z
      .string()
      .default('<!DOCTYPE html><html><head><title>Sign In</title></head><body><form method="post">Sign in</form></body></html>'),
    retryAfter: z.union([z.int().min(0), z.string()]).optional(),
    /** Sent as Location, for a redirect to a sign-in page. */
    location: z.string().optional(),
    when: When,
  }),
  z.strictObject({ kind: z.literal('drop-before') }),
  z.strictObject({ kind: z.literal('drop-after-write') }),
  z.strictObject({ kind: z.literal('hang'), when: When }),
  z.strictObject({ kind: z.literal('truncate') }),
]);
export type Injected = z.infer<typeof Injected>;

/** Which requests: all with this method and a path (with query) that the pattern finds. */
export const FaultRule = z.strictObject({
  match: z
    .strictObject({
      method: z.string().optional(),
      path: z.string().refine(isPattern, 'is no regular expression').optional(),
      /** From which matching request on, counted from 1 since the rule was set. */
      nth: z.int().min(1).optional(),
      /** How many times at most; once when only `nth` is given, else without end. */
      times: z.int().min(1).optional(),
    })
    .default({}),
  fault: Injected,
});
/** A rule as it may be written, defaults left out. */
export type FaultRule = z.input<typeof FaultRule>;

interface Armed {
  readonly rule: z.output<typeof FaultRule>;
  readonly path: RegExp | undefined;
  matched: number;
  fired: number;
}

/** The rules in force. Every rule counts every request that it matches. */
export class InjectedFaults {
  #armed: Armed[] = [];

  set(rules: readonly z.output<typeof FaultRule>[]): void {
    this.#armed = rules.map((rule) => ({
      rule,
      path: rule.match.path === undefined ? undefined : new RegExp(rule.match.path),
      matched: 0,
      fired: 0,
    }));
  }

  get rules(): readonly { rule: FaultRule; matched: number; fired: number }[] {
    return this.#armed.map(({ rule, matched, fired }) => ({ rule, matched, fired }));
  }

  /** What befalls this request: every latency that applies, and of the rest the first. */
  take(method: string, path: string): Injected[] {
    const taken: Injected[] = [];
    for (const armed of this.#armed) {
      if (!matches(armed, method, path)) continue;
      armed.matched += 1;
      const { nth, times = nth === undefined ? Number.POSITIVE_INFINITY : 1 } = armed.rule.match;
      const { fault } = armed.rule;
      if (armed.matched < (nth ?? 1) || armed.fired >= times) continue;
      if (fault.kind !== 'latency' && taken.some(({ kind }) => kind !== 'latency')) continue;
      armed.fired += 1;
      taken.push(fault);
    }
    return taken;
  }
}

function matches({ rule, path }: Armed, method: string, target: string): boolean {
  return (rule.match.method ?? method).toUpperCase() === method && (path === undefined || path.test(target));
}

function isPattern(text: string): boolean {
  try {
    new RegExp(text);
    return true;
  } catch {
    return false;
  }
}
