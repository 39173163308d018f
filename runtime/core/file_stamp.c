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

static bool stamp_is_same(const struct timespec *a, const struct timespec *b) {
  return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

void file_stamp_take(struct file_stamp *stamp, int fd) {
  struct stat found;
  struct timespec now;
  *stamp = (struct file_stamp){.is_settled = false};
  clock_gettime(CLOCK_REALTIME, &now);
  if (fstat(fd, &found) < 0)
    return;
  *stamp = (struct file_stamp){.is_settled = stamp_is_over(&found.st_mtim, &now) && stamp_is_over(&found.st_ctim, &now),
                               .device = found.st_dev,
                               .inode = found.st_ino,
                               .size = found.st_size,
                               .modified = found.st_mtim,
                               .changed = found.st_ctim};
}

bool file_stamp_is_current(const struct file_stamp *stamp, const char *path) {
  struct stat found;
  return stamp->is_settled && stat(path, &found) == 0 && found.st_dev == stamp->device &&
         found.st_ino == stamp->inode && found.st_size == stamp->size &&
         stamp_is_same(&found.st_mtim, &stamp->modified) && stamp_is_same(&found.st_ctim, &stamp->changed);
}
