/* SPDX-License-Identifier: MIT
 *
 * A disk that does not answer, for a real moongate: loaded into it by the loader (LD_PRELOAD), it has calls wait for as
 * long as a file (MOONGATE_SPEC_DISK) has a line "FUNCTION TEXT" of theirs, the text being part of the path. Each time
 * a call begins to wait, or goes on, a letter is appended to the file beside it, ".waits": "w", "g". */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_SIZE = 1024, PATH_SIZE = 4096, NAP_NS = 10 * 1000 * 1000 };

static char list_path[PATH_SIZE], told_path[PATH_SIZE];

__attribute__((constructor)) static void find_list(void) {
  const char *path = getenv("MOONGATE_SPEC_DISK");
  if (!path || snprintf(told_path, sizeof told_path, "%s.waits", path) >= (int)sizeof told_path)
    return;
  snprintf(list_path, sizeof list_path, "%s", path);
}

static void tell(const char *letter) {
  int fd = (int)syscall(SYS_openat, AT_FDCWD, told_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  ssize_t ignored = fd < 0 ? 0 : write(fd, letter, 1);
  (void)ignored;
  if (fd >= 0)
    close(fd);
}

static bool is_listed(const char *function, const char *path) {
  char text[TEXT_SIZE], *rest = NULL;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, list_path, O_RDONLY | O_CLOEXEC, 0);
  ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0)
    close(fd);
  text[size > 0 ? size : 0] = '\0';
  size_t length = strlen(function);
  for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
    if (strncmp(line, function, length) == 0 && line[length] == ' ' && strstr(path, line + length + 1))
      return true;
  return false;
}

static void wait_for_disk(const char *function, const char *path) {
  if (!list_path[0] || !is_listed(function, path))
    return;
  tell("w");
  while (is_listed(function, path))
    nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
  tell("g");
}

/* "/where/fd/leads/name"; `name` may be NULL. */
static void wait_at(const char *function, int fd, const char *name) {
  char link[64], path[PATH_SIZE] = "", whole[2 * PATH_SIZE];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = fd < 0 ? -1 : (ssize_t)syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
  path[length > 0 ? length : 0] = '\0';
  snprintf(whole, sizeof whole, "%s%s%s", path, name ? "/" : "", name ? name : "");
  wait_for_disk(function, whole);
}

int fsync(int fd) {
  wait_at("fsync", fd, NULL);
  return (int)syscall(SYS_fsync, fd);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): theirs are reserved */
int openat(int directory, const char *name, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  wait_at("openat", directory, name);
  return (int)syscall(SYS_openat, directory, name, flags, mode);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): theirs are reserved */
int open(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  wait_for_disk("open", path);
  return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): theirs are reserved */
int renameat(int from, const char *name, int to, const char *after) {
  wait_at("renameat", to, after);
  return (int)syscall(SYS_renameat2, from, name, to, after, 0);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): theirs are reserved */
int unlinkat(int directory, const char *name, int flags) {
  wait_at("unlinkat", directory, name);
  return (int)syscall(SYS_unlinkat, directory, name, flags);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): theirs are reserved */
int unlink(const char *path) {
  wait_for_disk("unlink", path);
  return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): theirs are reserved */
struct dirent *readdir(DIR *entries) {
  struct dirent *(*next)(DIR *) = (struct dirent * (*)(DIR *)) dlsym(RTLD_NEXT, "readdir");
  wait_at("readdir", dirfd(entries), NULL);
  return next(entries);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): theirs are reserved */
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset) {
  wait_at("pwrite", fd, NULL);
  return (ssize_t)syscall(SYS_pwrite64, fd, bytes, size, offset);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): theirs are reserved */
int stat(const char *path, struct stat *found) {
  wait_for_disk("stat", path);
  return fstatat(AT_FDCWD, path, found, 0);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): theirs are reserved */
int inotify_add_watch(int fd, const char *path, uint32_t events) {
  wait_for_disk("inotify_add_watch", path);
  return (int)syscall(SYS_inotify_add_watch, fd, path, events);
}
