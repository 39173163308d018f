/* SPDX-License-Identifier: MIT
 *
 * What the file system says of a file that was read: as long as it says the same, the file need not be read again. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

/* Zeroed: of nothing, and never current. */
struct file_stamp {
  bool is_settled; /* false: the file may change once more, and the file system say the same */
  dev_t device;
  ino_t inode;
  off_t size;
  struct timespec modified, changed;
};

/* Of an open file that is about to be read. */
void file_stamp_take(struct file_stamp *stamp, int fd);

/* Are they of the same file, as far as the file system tells? */
bool file_stamp_is_same(const struct file_stamp *a, const struct file_stamp *b);

/* Is what `path` leads to the file as it was read? Asks the file system, but does not open the file. */
bool file_stamp_is_current(const struct file_stamp *stamp, const char *path);
