/* SPDX-License-Identifier: MIT
 *
 * A directory of a test's own under /tmp, the files that it writes there, and how many descriptors the process has. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct scratch {
  char directory[64];
  char path[256]; /* what scratch_path() has returned last */
};

/* With `routes` in it. */
static inline void scratch_init(struct scratch *scratch) {
  strcpy(scratch->directory, "/tmp/moongate-ctest-XXXXXX");
  assert_non_null(mkdtemp(scratch->directory));
  snprintf(scratch->path, sizeof scratch->path, "%s/routes", scratch->directory);
  assert_int_equal(0, mkdir(scratch->path, 0700));
}

/* Holds until the next call. */
static inline const char *scratch_path(struct scratch *scratch, const char *name) {
  snprintf(scratch->path, sizeof scratch->path, "%s/%s", scratch->directory, name);
  return scratch->path;
}

static inline void scratch_write_bytes(struct scratch *scratch, const char *name, const char *bytes, size_t size) {
  int fd = open(scratch_path(scratch, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, bytes, size), (ssize_t)size);
  close(fd);
}

static inline void scratch_write(struct scratch *scratch, const char *name, const char *text) {
  scratch_write_bytes(scratch, name, text, strlen(text));
}

static inline void remove_tree(const char *path) {
  DIR *directory = opendir(path);
  for (struct dirent *entry; directory && (entry = readdir(directory));) {
    char *inside = NULL;
    assert_true(asprintf(&inside, "%s/%s", path, entry->d_name) >= 0);
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
      remove_tree(inside);
    free(inside);
  }
  if (directory)
    closedir(directory);
  remove(path);
}

static inline void scratch_deinit(struct scratch *scratch) { remove_tree(scratch->directory); }

static inline int count_open_files(void) {
  int count = 0;
  DIR *directory = opendir("/proc/self/fd");
  assert_non_null(directory);
  while (readdir(directory))
    count++;
  closedir(directory);
  return count;
}
