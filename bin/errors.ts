/**
 * Errors that are meant for the person at the terminal: one sentence that names the thing and the remedy.
 */

/** tsvisor itself failed, as `env` and `nice` report it. */
export const EXIT_FAILURE = 125;
/** The command was found but cannot be executed. */
export const EXIT_NOT_EXECUTABLE = 126;
export const EXIT_NOT_FOUND = 127;
export const EXIT_USAGE = 2;
/** As timeout(1). */
export const EXIT_TIMED_OUT = 124;

export class UserError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number = EXIT_FAILURE) {
    super(message);
    this.exitCode = exitCode;
  }
}
