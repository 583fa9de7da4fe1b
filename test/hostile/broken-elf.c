/*
 * Truncated and malformed ELF files: each is executed in a child, which may fail, die or run; the kernel lives on.
 *
 * The seed is a small program made by hand: one segment, exit(42). First come cases with one right answer, printed and compared with
 * Linux; then every byte of the headers takes several values, and every length is tried: these are only counted.
 * `broken-elf cases` stops after the first part.
 */
#include "../syscalls/guest.h"
#include <elf.h>
#include <stddef.h>
#include <sys/resource.h>

#define BASE 0x400000UL

struct image {
  Elf64_Ehdr header;
  Elf64_Phdr segments[3];
  unsigned char code[64];
  char interpreter[64];
};

static struct image fresh(void) {
  static const unsigned char code[] = {0xbf, 42, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05};
  struct image image;
  memset(&image, 0, sizeof image);
  memcpy(image.header.e_ident, ELFMAG, SELFMAG);
  image.header.e_ident[EI_CLASS] = ELFCLASS64, image.header.e_ident[EI_DATA] = ELFDATA2LSB, image.header.e_ident[EI_VERSION] = EV_CURRENT;
  image.header.e_type = ET_EXEC, image.header.e_machine = EM_X86_64, image.header.e_version = EV_CURRENT;
  image.header.e_entry = BASE + offsetof(struct image, code);
  image.header.e_phoff = offsetof(struct image, segments);
  image.header.e_ehsize = sizeof(Elf64_Ehdr), image.header.e_phentsize = sizeof(Elf64_Phdr), image.header.e_phnum = 1;
  Elf64_Phdr load = {.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = BASE, .p_paddr = BASE, .p_filesz = sizeof image, .p_memsz = sizeof image, .p_align = 4096};
  image.segments[0] = load;
  memcpy(image.code, code, sizeof code);
  return image;
}

static void store(const char *name, const void *bytes, size_t length) {
  int fd = (int)MUST(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0755));
  MUST(write(fd, bytes, length));
  close(fd);
}

/* Executes the file; gives the wait status, or 0x10000 + errno when execve failed. */
static int run(const char *name) {
  int report[2], error = 0, status;
  MUST(pipe2(report, O_CLOEXEC));
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    struct rlimit none = {0, 0}, second = {1, 1};
    setrlimit(RLIMIT_CORE, &none), setrlimit(RLIMIT_CPU, &second);
    close(report[0]);
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0), dup2(null, 1), dup2(null, 2);
    alarm(2);
    execl(name, name, NULL);
    error = errno;
    write(report[1], &error, sizeof error);
    _exit(0);
  }
  close(report[1]);
  int failed = read(report[0], &error, sizeof error) == sizeof error;
  close(report[0]);
  MUST(waitpid(child, &status, 0));
  return failed ? 0x10000 + error : status;
}

static void show(const char *what, const void *bytes, size_t length) {
  store("elf", bytes, length);
  int result = run("./elf");
  if (result >= 0x10000) say("%s: %s\n", what, errno_name(result - 0x10000));
  else show_status(what, result);
}

#define CASE(what, ...) \
  do { \
    struct image i = fresh(); \
    __VA_ARGS__; \
    show(what, &i, sizeof i); \
  } while (0)

static void cases(void) {
  struct image whole = fresh();
  CASE("whole", (void)i);
  show("empty", &whole, 0), show("one byte", &whole, 1), show("magic only", &whole, 4), show("half a header", &whole, 32);
  show("header only", &whole, 64);
  CASE("wrong magic", i.header.e_ident[3] = 'X');
  CASE("32-bit machine", i.header.e_machine = EM_ARM);
  CASE("relocatable object", i.header.e_type = ET_REL);
  CASE("core file", i.header.e_type = ET_CORE);
  CASE("no segments", i.header.e_phnum = 0);
  CASE("entry size of the table is wrong", i.header.e_phentsize = 55);
  CASE("table beyond the end", i.header.e_phoff = 1 << 20);
  CASE("table far beyond the end", i.header.e_phoff = ~0UL - 100);
  CASE("too many segments", i.header.e_phnum = 65535);
  CASE("entry nowhere", i.header.e_entry = 0x12345);
  CASE("entry in the kernel half", i.header.e_entry = 0xffffffff80000000UL);
  CASE("unknown segments are passed over", i.header.e_phnum = 2; i.segments[1].p_type = 0x12345678);
  CASE("interpreter missing", i.header.e_phnum = 2; i.segments[1] = i.segments[0]; i.segments[0].p_type = PT_INTERP;
       i.segments[0].p_offset = offsetof(struct image, interpreter); i.segments[0].p_filesz = 10; strcpy(i.interpreter, "/missing/"));
  CASE("interpreter without an end", i.header.e_phnum = 2; i.segments[1] = i.segments[0]; i.segments[0].p_type = PT_INTERP;
       i.segments[0].p_offset = offsetof(struct image, interpreter); i.segments[0].p_filesz = 5; strcpy(i.interpreter, "/missing/"));
  CASE("interpreter name of one byte", i.header.e_phnum = 2; i.segments[1] = i.segments[0]; i.segments[0].p_type = PT_INTERP;
       i.segments[0].p_offset = offsetof(struct image, interpreter); i.segments[0].p_filesz = 1);
  CASE("interpreter name of 1 GiB", i.header.e_phnum = 2; i.segments[1] = i.segments[0]; i.segments[0].p_type = PT_INTERP; i.segments[0].p_filesz = 1 << 30);
  CASE("interpreter is a directory", i.header.e_phnum = 2; i.segments[1] = i.segments[0]; i.segments[0].p_type = PT_INTERP;
       i.segments[0].p_offset = offsetof(struct image, interpreter); i.segments[0].p_filesz = 6; strcpy(i.interpreter, "/proc"));
  CASE("position independent", i.header.e_type = ET_DYN; i.segments[0].p_vaddr = 0; i.header.e_entry -= BASE);
  CASE("memory behind the file", i.segments[0].p_memsz = 1 << 20; i.segments[0].p_flags |= PF_W);
}

static void counted(void) {
  static const unsigned char values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
  int runs = 0, ended = 0;
  struct image whole = fresh();
  unsigned char *bytes = (unsigned char *)&whole;
  for (size_t at = 4; at < offsetof(struct image, segments) + sizeof(Elf64_Phdr); at++)
    for (size_t v = 0; v < COUNT(values); v++) {
      unsigned char kept = bytes[at];
      bytes[at] = values[v];
      store("mutant", bytes, sizeof whole);
      ended += run("./mutant") >= 0, runs++;
      bytes[at] = kept;
    }
  for (size_t length = 0; length < sizeof whole; length += 9) {
    store("mutant", bytes, length);
    ended += run("./mutant") >= 0, runs++;
  }
  uint64_t seed = 12345;
  for (int round = 0; round < 200; round++) {
    whole = fresh();
    for (int i = 0; i < 6; i++) {
      seed = seed * 6364136223846793005UL + 1442695040888963407UL;
      bytes[4 + (seed >> 20) % 116] = (unsigned char)(seed >> 50);
    }
    store("mutant", bytes, sizeof whole);
    ended += run("./mutant") >= 0, runs++;
  }
  CHECK(runs > 500 && ended == runs);
}

int main(int argc, char **argv) {
  begin();
  scratch();
  cases();
  if (argc < 2 || strcmp(argv[1], "cases") != 0) counted();
  struct image whole = fresh();
  show("still works", &whole, sizeof whole);
  return 0;
}
