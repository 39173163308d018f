/* SPDX-License-Identifier: MIT
 *
 * The lock file. */
#include "process/instance_lock.h"

#include "process/state_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MODE = 0600 };

/* -EBUSY, with the process that wrote its id into the file. */
static int explain_taken(int fd, const char *path, struct error *error) {
  char text[32] = "";
  ssize_t size = pread(fd, text, sizeof text - 1, 0);
  long pid = size > 0 ? strtol(text, NULL, 10) : 0;
  char who[48] = "another process";
  if (pid > 0)
    snprintf(who, sizeof who, "process %ld", pid);
  error_set(error, EBUSY,
            "another moongate (%s) runs on this state directory; stop it, or give this one a `state` of its own in the "
            "config",
            who);
  error_set_place(error, "%s", path);
  return -EBUSY;
}

/* For people: on a full disk it is a lock all the same. */
static void write_pid(int fd) {
  char text[32];
  int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
  bool is_written = ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)length, 0) == length;
  (void)is_written;
}

/* A file of our own, with one name: what is written through it is nobody else's. */
static int open_lock_file(int directory, const struct account *account) {
  int fd = openat(directory, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, FILE_MODE);
  struct stat entry;
  if (fd < 0)
    return -errno;
  bool gives = account && account->is_set;
  int status = fstat(fd, &entry) != 0 ? -errno : 0;
  bool is_ours = entry.st_uid == geteuid() || (gives && entry.st_uid == account->uid);
  if (status == 0 && (!S_ISREG(entry.st_mode) || entry.st_nlink != 1 || !is_ours))
    status = -EPERM;
  if (status == 0 && gives && fchown(fd, account->uid, account->gid) != 0)
    status = -errno;
  if (status == 0)
    return fd;
  close(fd);
  return status;
}

int instance_lock_take(struct instance_lock *lock, const char *directory, const struct account *account,
                       struct error *error) {
  lock->fd = -1;
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/lock", directory);
  int state = state_directory_open(directory, account, error);
  if (state < 0)
    return state;
  int fd = open_lock_file(state, account);
  close(state);
  if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    int status = explain_taken(fd, path, error);
    close(fd);
    return status;
  }
  if (fd >= 0) {
    write_pid(fd);
    lock->fd = fd;
    return 0;
  }
  int status = fd;
  if (status == -ELOOP || status == -EPERM)
    error_set(error, EPERM, "the lock file is a link, or somebody else's: remove it");
  else
    error_set(
        error, -status,
        "the lock file can't be written: %s; check the owner and the mode of the state directory, or name another "
        "as `state`",
        strerror(-status));
  error_set_place(error, "%s", path);
  return status;
}

void instance_lock_release(struct instance_lock *lock) {
  if (lock->fd < 0)
    return;
  /* Whoever reads the file later should not be told of a process that is gone. */
  int ignored = ftruncate(lock->fd, 0);
  (void)ignored;
  close(lock->fd);
  lock->fd = -1;
}
