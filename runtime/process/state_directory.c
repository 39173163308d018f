/* SPDX-License-Identifier: MIT
 *
 * Making the state directory, judging it, and giving it away with all that is in it. No link is followed
 * there, nor by root on the way but root's own. */
#include "process/state_directory.h"

#include "core/own_file.h"
#include "core/text_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  DIRECTORY_MODE = 0700,
  PARENT_MODE = 0755, /* lets through whoever the directory is given to */
  DEEPEST = 8 /* directories within each other */,
  NAME_SIZE = NAME_MAX + 2 /* one that is too long stays so */,
  STEPS_MOST = 1024 /* names on the way, with those of links */
};

/* As root a link on the way is followed only when root has made it: in a directory of another user it would have us
 * give away what that user chooses. Its target is put before what is left of the way. 0 or a negative errno. */
static int take_link(int link, const struct stat *entry, char rest[PATH_MAX], struct error *error) {
  char target[PATH_MAX], left[PATH_MAX], owner[USER_NAME_SIZE];
  if (geteuid() == 0 && entry->st_uid != 0)
    return error_set(
        error, EPERM,
        "on the way to the state directory is a link that belongs to \"%s\", who could have it lead anywhere; "
        "name the directory itself as `state` in the config",
        user_name(entry->st_uid, owner));
  ssize_t length = readlinkat(link, "", target, sizeof target);
  if (length < 0)
    return -errno;
  memcpy(left, rest, strlen(rest) + 1);
  int size = snprintf(rest, PATH_MAX, "%.*s/%s", (int)length, target, left);
  return size < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* The first name of the way, which is taken off it; "" at its end. */
static void take_path_name(char rest[PATH_MAX], char name[NAME_SIZE]) {
  const char *begin = rest + strspn(rest, "/");
  size_t length = strcspn(begin, "/");
  snprintf(name, NAME_SIZE, "%.*s", (int)length, begin);
  begin += length;
  begin += strspn(begin, "/");
  memmove(rest, begin, strlen(begin) + 1);
}

/* With `exact` the umask takes nothing away: it is the process's, and no other thread makes files at a start. */
static int make_path_name(int directory, const char *name, mode_t mode, bool exact) {
  mode_t before = exact ? umask(0) : 0;
  int status = mkdirat(directory, name, mode) == 0 || errno == EEXIST ? 0 : -errno;
  if (exact)
    umask(before);
  return status;
}

/* O_PATH, made where it is missing; a link itself. */
static int open_name(int directory, const char *name, mode_t mode, bool exact) {
  int fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd >= 0 || errno != ENOENT)
    return fd >= 0 ? fd : -errno;
  int status = make_path_name(directory, name, mode, exact);
  if (status < 0)
    return status;
  fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  return fd >= 0 ? fd : -errno;
}

/* From `directory`, which is closed, along one name. The next, or a negative errno. */
static int step(int directory, const char *name, char rest[PATH_MAX], bool is_given, struct error *error) {
  struct stat entry;
  int next = open_name(directory, name, rest[0] ? PARENT_MODE : DIRECTORY_MODE, is_given);
  int status = next < 0 ? next : fstat(next, &entry) != 0 ? -errno : 0;
  bool is_link = status == 0 && S_ISLNK(entry.st_mode);
  if (is_link && !rest[0])
    status = -ELOOP;
  else if (is_link)
    status = take_link(next, &entry, rest, error);
  else if (status == 0 && !S_ISDIR(entry.st_mode))
    status = -ENOTDIR;
  if (status == 0 && !is_link) {
    close(directory);
    return next;
  }
  if (next >= 0)
    close(next);
  if (status == 0 && rest[0] != '/')
    return directory;
  close(directory);
  return status != 0 ? status : open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* A descriptor of the directory, made where it is missing, as what leads to it; or a negative errno, -EPERM with
 * `error`. When it `is_given` to somebody else, the umask keeps nobody from getting there. */
static int walk(const char *path, bool is_given, struct error *error) {
  char rest[PATH_MAX], name[NAME_SIZE];
  if (strlen(path) >= sizeof rest)
    return -ENAMETOOLONG;
  memcpy(rest, path, strlen(path) + 1);
  int at = open(path[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (at < 0)
    return -errno;
  error->code = 0;
  unsigned steps = 0;
  for (take_path_name(rest, name); name[0] && at >= 0 && steps < STEPS_MOST; take_path_name(rest, name), steps++)
    at = step(at, name, rest, is_given, error);
  if (at >= 0 && steps == STEPS_MOST) {
    close(at);
    return -ELOOP;
  }
  if (at == -EPERM && error->code == 0)
    return -EACCES; /* that other one has its own words */
  if (at < 0)
    return at;
  int fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int status = fd >= 0 ? fd : errno == EPERM ? -EACCES : -errno;
  close(at);
  return status;
}

/* What is in it will be believed: last good versions are run, the lock is written. */
static int judge_directory(const struct stat *entry, const struct account *account, struct error *error) {
  static const struct own_words words = {"the state directory", "what is in it would be run",
                                         "name another as `state` in the config"};
  if ((entry->st_mode & S_ISVTX) && (entry->st_mode & (S_IWGRP | S_IWOTH)))
    return error_set(error, EPERM,
                     "the state directory is one for all to write in (it is sticky), and what is in it would be run; "
                     "name a directory of moongate's own as `state` in the config, one below it for instance");
  return own_judge(entry, account && account->is_set ? account->uid : geteuid(), &words, error);
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

static int explain_directory(int status, const char *what, const char *directory, struct error *error) {
  if (status == -ELOOP || status == -ENOTDIR)
    error_set(error, -status,
              "the state directory is a link or no directory: name the directory itself as `state` in the config");
  else if (status != -EPERM)
    error_set(error, -status, "the state directory can't be %s: %s; make it, or name another as `state` in the config",
              what, strerror(-status));
  error_set_place(error, "%s", directory);
  return status;
}

/* Nothing would say so later but copies that are missing. */
static int check_way(const char *directory, const struct account *account, struct error *error) {
  char closed[PATH_MAX];
  if (!account_find_closed(account, directory, closed))
    return 0;
  return error_set(
      error, EPERM,
      "the user \"%s\" can't get to the state directory: %s does not let it through; chmod o+x %s, or name "
      "another as `state` in the config",
      account->name, closed, closed);
}

int state_directory_open(const char *directory, const struct account *account, struct error *error) {
  bool is_given = account && account->is_set;
  int fd = walk(directory, is_given, error);
  if (fd < 0)
    return explain_directory(fd, "opened", directory, error);
  struct stat entry;
  int status = fstat(fd, &entry) != 0 ? -errno : judge_directory(&entry, account, error);
  if (status == 0 && is_given)
    status = give_all(fd, &entry, account);
  if (status == 0 && is_given)
    status = check_way(directory, account, error);
  if (status == 0)
    return fd;
  close(fd);
  return explain_directory(status, "given to its user", directory, error);
}
