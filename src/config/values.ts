import { z } from 'zod';

/** The kinds of values that settings have. */

export const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** `500ms`, `30s`, `15m`, `12h`, `7d`; milliseconds once parsed. */
export const period = z
  .string()
  .regex(/^\d+(ms|s|m|h|d)$/, 'expected a duration such as 500ms, 30s, 15m, 12h or 7d')
  .transform((text) => {
    const [, count = '', unit = 'ms'] = /^(\d+)(\w+)$/.exec(text) ?? [];
    return Number(count) * UNITS[unit as keyof typeof UNITS];
  });

/** The longest that a timer of Node waits; one that is set for longer fires at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

export const pause = period.refine((milliseconds) => milliseconds <= LONGEST_TIMER, 'expected 24d at most');
export const duration = pause.refine((milliseconds) => milliseconds > 0, 'expected more than nothing');

/** Credentials in an address would be shown wherever the address is. */
export function withoutCredentials(address: string): boolean {
  const url = URL.parse(address);
  return url === null || (url.username === '' && url.password === '');
}
export const NO_CREDENTIALS = 'expected an address without a user and password in it';

/** Marks what must come from the environment or from a file of its own, and is never shown. */
export const SECRET = { secret: true } as const;
export const secret = (description: string) =>
  z
    .string()
    .min(1)
    .optional()
    .meta({ ...SECRET, description });

/** A secret has exactly one source. */
export function either<Shape extends z.ZodRawShape>(schema: z.ZodObject<Shape>, name: string): z.ZodObject<Shape> {
  return schema.refine((value) => (Reflect.get(value, `${name}File`) === undefined) !== (Reflect.get(value, name) === undefined), {
    path: [`${name}File`],
    message: `expected either ${name}File or the ${name} in the environment`,
  });
}

/** Marks a list that is written with this between its values where it is one text: DNs have commas of their own. */
export const SEMICOLON = { separator: ';' } as const;
