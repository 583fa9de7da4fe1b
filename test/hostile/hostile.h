/*
 * A guard for guests that would harm the machine they run on: they end at once unless the caller says that this is a sandbox.
 * The tests say so with `--env TSVISOR_HOSTILE=inside`.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

static void only_inside(void) {
  const char *word = getenv("TSVISOR_HOSTILE");
  if (word && strcmp(word, "inside") == 0) return;
  say("refused: this guest runs inside a sandbox only (TSVISOR_HOSTILE=inside)\n");
  exit(97);
}

#endif
