/* SPDX-License-Identifier: MIT
 *
 * File systems write times down by a clock that ticks some hundred times a second, older ones every two seconds: what
 * is written after a file was read, within the tick in which it was changed before, leaves its times as they are. So a
 * stamp counts only where the last change was over before, by more than any tick, when the file was read; until then it
 * is read again each time, as git does with its index. */
#include "core/file_stamp.h"

#include <sys/stat.h>

enum { TICK_MOST_S = 2 };

static bool stamp_is_over(const struct timespec *change, const struct timespec *now) {
  time_t seconds = now->tv_sec - change->tv_sec;
  return seconds > TICK_MOST_S || (seconds == TICK_MOST_S && now->tv_nsec > change->tv_nsec);
}

static bool time_is_same(const struct timespec *a, const struct timespec *b) {
  return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static void fill_stamp(struct file_stamp *stamp, const struct stat *found) {
  stamp->device = found->st_dev;
  stamp->inode = found->st_ino;
  stamp->size = found->st_size;
  stamp->modified = found->st_mtim;
  stamp->changed = found->st_ctim;
}

void file_stamp_take(struct file_stamp *stamp, int fd) {
  struct stat found;
  struct timespec now;
  *stamp = (struct file_stamp){.is_settled = false};
  clock_gettime(CLOCK_REALTIME, &now);
  if (fstat(fd, &found) < 0)
    return;
  fill_stamp(stamp, &found);
  stamp->is_settled = stamp_is_over(&found.st_mtim, &now) && stamp_is_over(&found.st_ctim, &now);
}

bool file_stamp_is_same(const struct file_stamp *a, const struct file_stamp *b) {
  return a->device == b->device && a->inode == b->inode && a->size == b->size &&
         time_is_same(&a->modified, &b->modified) && time_is_same(&a->changed, &b->changed);
}

bool file_stamp_is_current(const struct file_stamp *stamp, const char *path) {
  struct stat found;
  struct file_stamp now;
  if (!stamp->is_settled || stat(path, &found) < 0)
    return false;
  fill_stamp(&now, &found);
  return file_stamp_is_same(stamp, &now);
}
