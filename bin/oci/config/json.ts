/**
 * JSON as clients write it. Whole numbers that a double cannot hold (64-bit masks of seccomp rules, RLIM_INFINITY) become BigInts; nothing else
 * differs from JSON.parse. Such numbers are rare, so the slower way is only taken for a text that has as many digits in a row somewhere.
 */
import { UserError } from '../../errors.ts';
import { EXIT_OCI_FAILURE } from '../errors.ts';
import { CONFIG_CHARACTERS_MAX } from './limits.ts';

/** What `context.source` is the text of: JSON.parse source text access, which the types do not know yet. */
interface SourceContext {
  readonly source?: string;
}
type Reviver = (this: unknown, name: string, value: unknown, context: SourceContext) => unknown;

const keepWide: Reviver = (_name, value, { source }) =>
  typeof value === 'number' && !Number.isSafeInteger(value) && source !== undefined && /^-?\d+$/.test(source) ? BigInt(source) : value;

/**
 * @param label what the text is, for messages (`config.json`)
 * @throws UserError for a text that is not JSON
 */
export function parseJson(text: string, label: string): unknown {
  if (text.length > CONFIG_CHARACTERS_MAX)
    throw new UserError(`${label} has ${text.length} characters; at most ${CONFIG_CHARACTERS_MAX} are read`, EXIT_OCI_FAILURE);
  try {
    if (!/\d{16}/.test(text)) return JSON.parse(text);
    return JSON.parse(text, keepWide as Parameters<typeof JSON.parse>[1]);
  } catch (error) {
    const reason = error instanceof SyntaxError ? error.message : 'it is nested too deeply';
    throw new UserError(`${label} is not valid JSON: ${reason.replaceAll('\n', ' ')}`, EXIT_OCI_FAILURE);
  }
}
