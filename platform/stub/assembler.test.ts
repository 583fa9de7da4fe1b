/** Encodings as GNU as produces them. */
import { expect, test } from 'vitest';
import { Assembler } from './assembler.ts';
import { assembleStub } from './stub-code.ts';

function hex(write: (a: Assembler) => void): string {
  const a = new Assembler();
  write(a);
  return Buffer.from(a.finish()).toString('hex');
}

test('moves', () => {
  expect(hex((a) => a.movImm32('rax', 0x12345678))).toBe('b878563412');
  expect(hex((a) => a.movImm32('r10', 1))).toBe('41ba01000000');
  expect(hex((a) => a.movImm64('rdi', 0x7fff_ffff_c000))).toBe('48bf00c0ffffff7f0000');
  expect(hex((a) => a.movImm64('r12', 1))).toBe('49bc0100000000000000');
  expect(hex((a) => a.mov('rdi', 'rsp'))).toBe('4889e7');
  expect(hex((a) => a.mov('r9', 'rsi'))).toBe('4989f1');
  expect(hex((a) => a.mov('rax', 'r15'))).toBe('4c89f8');
});

test('arithmetic and tests', () => {
  expect(hex((a) => a.xor('r10', 'r10'))).toBe('4d31d2');
  expect(hex((a) => a.xor('rsi', 'rsi'))).toBe('4831f6');
  expect(hex((a) => a.cmp('rax', 'r9'))).toBe('4c39c8');
  expect(hex((a) => a.test('rax', 'rax'))).toBe('4885c0');
  expect(hex((a) => a.lockCompareExchange32())).toBe('f00fb137');
  expect(hex((a) => a.addToRbx(56))).toBe('4883c338');
});

test('loads', () => {
  expect(hex((a) => a.load64FromRbx('rax', 0))).toBe('488b4300');
  expect(hex((a) => a.load64FromRbx('rdi', 8))).toBe('488b7b08');
  expect(hex((a) => a.load64FromRbx('r9', 48))).toBe('4c8b4b30');
});

test('stack and control', () => {
  expect(hex((a) => a.push('rdi'))).toBe('57');
  expect(hex((a) => a.push('r12'))).toBe('4154');
  expect(hex((a) => a.pop('r12'))).toBe('415c');
  expect(hex((a) => a.ret())).toBe('c3');
  expect(hex((a) => a.syscall())).toBe('0f05');
  expect(hex((a) => a.int3())).toBe('cc');
});

test('labels resolve forwards and backwards', () => {
  const code = hex((a) => {
    a.label('back');
    a.je('ahead');
    a.jmp('back');
    a.label('ahead');
    a.lea('rsi', 'back');
    a.load32('r8', 'ahead');
  });
  expect(code).toBe('0f8405000000e9f5ffffff488d35eeffffff448b05f2ffffff');
});

test('labels are checked', () => {
  expect(() => hex((a) => a.jmp('nowhere'))).toThrow('unknown label nowhere');
  expect(() =>
    hex((a) => {
      a.label('x');
      a.label('x');
    }),
  ).toThrow('defined twice');
});

test('the stub fits its page and its routines are apart', () => {
  const stub = assembleStub();
  expect(stub.bytes.length).toBeLessThanOrEqual(4096);
  expect(Buffer.from(stub.bytes.subarray(stub.inject, stub.inject + 3)).toString('hex')).toBe('0f05cc');
  expect(Buffer.from(stub.bytes.subarray(stub.exchange, stub.exchange + 5)).toString('hex')).toBe('f00fb137cc');
  const name = Buffer.from(stub.bytes.subarray(stub.processName, stub.processName + 16)).toString('latin1');
  expect(name.slice(0, name.indexOf('\0')).length).toBeLessThan(16);
});
