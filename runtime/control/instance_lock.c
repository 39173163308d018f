/* SPDX-License-Identifier: MIT
 *
 * The lock file, and the directory that it is in. */
#include "control/instance_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIRECTORY_MODE = 0700, FILE_MODE = 0600 };

static int make_one(const char *path) {
  if (mkdir(path, DIRECTORY_MODE) == 0 || errno == EEXIST)
    return 0;
  int code = errno;
  struct stat entry;
  /* Above us there may be directories that we could not make even if they were missing. */
  return stat(path, &entry) == 0 && S_ISDIR(entry.st_mode) ? 0 : -code;
}

static int make_directories(const char *directory) {
  char path[PATH_MAX];
  size_t length = strlen(directory);
  if (length >= sizeof path)
    return -ENAMETOOLONG;
  memcpy(path, directory, length + 1);
  for (char *slash = strchr(path + 1, '/'); slash && path[0]; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    int status = make_one(path);
    if (status != 0)
      return status;
    *slash = '/';
  }
  return make_one(path);
}

/* -EBUSY, with the process that wrote its id into the file. */
static int explain_held(int fd, const char *path, struct error *error) {
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

static int write_pid(int fd) {
  char text[32];
  int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
  if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)length, 0) != length)
    return errno ? -errno : -EIO;
  return 0;
}

int instance_lock_take(struct instance_lock *lock, const char *directory, struct error *error) {
  lock->fd = -1;
  char path[PATH_MAX];
  int status = make_directories(directory);
  if (status != 0) {
    error_set(error, -status,
              "the state directory can't be made: %s; make it, or name another as `state` in the config",
              strerror(-status));
    error_set_place(error, "%s", directory);
    return status;
  }
  if ((size_t)snprintf(path, sizeof path, "%s/lock", directory) >= sizeof path)
    return error_set(error, ENAMETOOLONG, "the path of the state directory is too long");
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);
  if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    status = explain_held(fd, path, error);
    close(fd);
    return status;
  }
  status = fd < 0 ? -errno : write_pid(fd);
  if (status == 0) {
    lock->fd = fd;
    return 0;
  }
  if (fd >= 0)
    close(fd);
  error_set(error, -status,
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
