/* SPDX-License-Identifier: MIT
 *
 * Making the state directory, judging it, and giving it away with all that is in it. No link is followed on the way. */
#include "control/state_directory.h"

#include "script/own_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIRECTORY_MODE = 0700, OTHERS_WRITE = S_IWGRP | S_IWOTH, DEEPEST = 8 /* directories within each other */ };

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

static bool is_ours(uid_t owner, const struct account *account) {
  return owner == geteuid() || (account && account->is_set && owner == account->uid);
}

/* What is in it will be believed: last good versions are run, the lock is written. */
static int judge(const struct stat *entry, const struct account *account, struct error *error) {
  char owner[USER_NAME_SIZE], us[USER_NAME_SIZE];
  if ((entry->st_mode & S_ISVTX) && (entry->st_mode & OTHERS_WRITE))
    return error_set(error, EPERM,
                     "the state directory is one for all to write in (it is sticky), and what is in it would be run; "
                     "name a directory of moongate's own as `state` in the config, one below it for instance");
  if (!is_ours(entry->st_uid, account))
    return error_set(
        error, EPERM,
        "the state directory belongs to \"%s\", and what is in it would be run as \"%s\"; chown it, or name another "
        "as `state` in the config",
        user_name(entry->st_uid, owner), user_name(geteuid(), us));
  if (entry->st_mode & OTHERS_WRITE)
    return error_set(error, EPERM,
                     "the state directory may be written by others, and what is in it would be run; chmod go-w it, or "
                     "name another as `state` in the config");
  return 0;
}

static int give_children(int directory, const struct account *account, dev_t device, unsigned depth);

/* What belongs to us already, and only what has no other name: a hard link may be to anything. It is looked at and
 * given by its descriptor, since whoever owns the directory may have another file under that name in between; what is
 * in a directory before itself. */
static void give(int directory, const char *name, const struct account *account, dev_t device, unsigned depth) {
  struct stat entry;
  int fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    return;
  bool is_known = fstat(fd, &entry) == 0 && entry.st_dev == device;
  if (is_known && S_ISDIR(entry.st_mode) && depth < DEEPEST)
    give_children(fd, account, device, depth + 1);
  bool is_file = is_known && S_ISREG(entry.st_mode) && entry.st_nlink == 1;
  if ((is_file || (is_known && S_ISDIR(entry.st_mode))) && entry.st_uid == geteuid())
    fchownat(fd, "", account->uid, account->gid, AT_EMPTY_PATH);
  close(fd);
}

/* 0 or a negative errno. */
static int give_children(int directory, const struct account *account, dev_t device, unsigned depth) {
  int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *entries = fd < 0 ? NULL : fdopendir(fd);
  if (!entries) {
    int code = errno;
    if (fd >= 0)
      close(fd);
    return -code;
  }
  for (const struct dirent *entry; (entry = readdir(entries));)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
      give(directory, entry->d_name, account, device, depth);
  closedir(entries);
  return 0;
}

static int give_all(int directory, const struct stat *entry, const struct account *account) {
  int status = give_children(directory, account, entry->st_dev, 1);
  if (entry->st_uid == geteuid() && fchown(directory, account->uid, account->gid) != 0 && status == 0)
    status = -errno;
  return status == -EPERM ? -EACCES : status; /* that other one has its own words */
}

static int explain(int status, const char *what, const char *directory, struct error *error) {
  if (status == -ELOOP || status == -ENOTDIR)
    error_set(error, -status,
              "the state directory is a link or no directory: name the directory itself as `state` in the config");
  else if (status != -EPERM)
    error_set(error, -status, "the state directory can't be %s: %s; make it, or name another as `state` in the config",
              what, strerror(-status));
  error_set_place(error, "%s", directory);
  return status;
}

int state_directory_open(const char *directory, const struct account *account, struct error *error) {
  int status = make_directories(directory);
  if (status != 0)
    return explain(status == -EPERM ? -EACCES : status, "made", directory, error);
  int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    return explain(errno == EPERM ? -EACCES : -errno, "opened", directory, error);
  struct stat entry;
  status = fstat(fd, &entry) != 0 ? -errno : judge(&entry, account, error);
  if (status == 0 && account && account->is_set)
    status = give_all(fd, &entry, account);
  if (status == 0)
    return fd;
  close(fd);
  return explain(status, "given to its user", directory, error);
}
