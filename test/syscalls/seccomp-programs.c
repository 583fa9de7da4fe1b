/*
 * Random seccomp programs, a few thousand from a fixed seed: which of them are refused, and what those that are not say of calls with random
 * arguments, alone and on top of each other. A program's result is made an error number, so that every call tells seven bits of it.
 */
#include "guest.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

enum { CALL_IN_TABLE = 499, CALL_BEYOND = 4000, BODY_MAX = 40, ROUNDS = 160, STACKED = 6 };

static uint64_t state = 0x2545f4914f6cdd1d;
static uint32_t chance(uint32_t below) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return (uint32_t)((state >> 16) % below);
}

/* Small numbers, powers of two and their neighbours, and anything. */
static uint32_t value(void) {
  switch (chance(4)) {
    case 0:
      return chance(8);
    case 1:
      return (1u << chance(32)) - chance(2);
    case 2:
      return 0u - chance(8);
    default:
      return chance(0x80000000u) * 2 + chance(2);
  }
}

static struct sock_filter statement(uint16_t code, uint32_t k) { return (struct sock_filter){code, 0, 0, k}; }

/* One instruction with at most `left` behind it. Rarely one that must be refused. */
static struct sock_filter instruction(uint32_t left, int wild) {
  static const uint16_t arithmetic[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR, BPF_AND, BPF_LSH, BPF_RSH, BPF_XOR};
  static const uint16_t jumps[] = {BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET};
  if (wild) return (struct sock_filter){(uint16_t)chance(chance(4) ? 0x100 : 0x10000), (uint8_t)chance(8), (uint8_t)chance(8), chance(70)};
  uint16_t operation = arithmetic[chance(COUNT(arithmetic))];
  switch (chance(12)) {
    case 0:
    case 1:
    case 2:
      return statement(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, args) + 4 * chance(12));
    case 3:
      return statement((chance(2) ? BPF_LD : BPF_LDX) | BPF_IMM, value());
    case 4:
      return statement((chance(2) ? BPF_LD : BPF_LDX) | BPF_MEM, chance(3));
    case 5:
      return statement(chance(2) ? BPF_ST : BPF_STX, chance(3));
    case 6:
      return statement(BPF_MISC | (chance(2) ? BPF_TAX : BPF_TXA), 0);
    case 7:
      return chance(3) ? statement(BPF_ALU | BPF_NEG, 0) : statement((chance(2) ? BPF_LD : BPF_LDX) | BPF_W | BPF_LEN, 0);
    case 8:
    case 9:
      if (chance(2)) return statement(BPF_ALU | operation | BPF_X, 0);
      if (operation == BPF_LSH || operation == BPF_RSH) return statement(BPF_ALU | operation | BPF_K, chance(33));
      return statement(BPF_ALU | operation | BPF_K, value());
    default:
      left = left > 6 ? 6 : left;
      if (chance(6) == 0) return statement(BPF_JMP | BPF_JA, chance(left));
      return (struct sock_filter){(uint16_t)(BPF_JMP | jumps[chance(COUNT(jumps))] | (chance(2) ? BPF_K : BPF_X)), (uint8_t)chance(left),
                                  (uint8_t)chance(left), value()};
  }
}

static long install_random(uint32_t nr) {
  struct sock_filter program[BODY_MAX + 12];
  uint32_t length = 0, body = 3 + chance(BODY_MAX - 3);
  int wild = chance(10) == 0;
  program[length++] = statement(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  program[length++] = (struct sock_filter){BPF_JMP | BPF_JEQ | BPF_K, 1, 0, nr};
  program[length++] = statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  /* Mostly scratch memory that may be read. */
  for (uint32_t i = 0; i < 3 && chance(20); i++) program[length++] = statement(BPF_ST, i);
  for (uint32_t i = 0; i < body; i++) program[length++] = instruction(body - i, wild && chance(body) == 0);
  /* The seven bits: mixed, so that all of A counts. */
  program[length++] = statement(BPF_ALU | BPF_MUL | BPF_K, 0x9e3779b1);
  program[length++] = statement(BPF_ALU | BPF_RSH | BPF_K, 25);
  program[length++] = statement(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO);
  program[length++] = statement(BPF_RET | BPF_A, 0);
  struct sock_fprog whole = {.len = (uint16_t)length, .filter = program};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &whole) == 0 ? 0 : errno;
}

static uint64_t wide(void) { return (uint64_t)value() << 32 | value(); }

/* Programs end a thread by dividing by zero now and then: each trial has a child of its own. */
static void trial(int round) {
  uint32_t nr = chance(2) ? CALL_IN_TABLE : CALL_BEYOND;
  uint32_t sum = 0, refused = 0, count = 1 + chance(STACKED);
  for (uint32_t i = 0; i < count; i++) {
    long error = install_random(nr);
    if (error != 0 && error != EINVAL) _exit(97);
    refused = refused * 2 + (error != 0);
    for (int call = 0; call < 8; call++) {
      long result = syscall(nr, wide(), wide(), wide(), wide(), wide(), wide());
      sum = sum * 31 + (result == -1 ? (uint32_t)errno : 1000u);
    }
  }
  say("%d: refused %x of %u, %08x\n", round, refused, count, sum);
}

int main(void) {
  begin();
  MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  for (int round = 0; round < ROUNDS; round++) {
    state = 0x2545f4914f6cdd1d + (uint64_t)round * 0x9e3779b97f4a7c15;
    char name[16];
    snprintf(name, sizeof name, "%d", round);
    CHILD_BEGIN
    trial(round);
    CHILD_END(name);
  }
  return 0;
}
