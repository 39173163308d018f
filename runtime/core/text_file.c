/* SPDX-License-Identifier: MIT
 *
 * Reading and replacing whole files. */
#include "core/text_file.h"

#include "core/pace.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { ALL_MODE = 07777, ACL_SIZE = 4096 };

const char *user_name(uid_t uid, char name[USER_NAME_SIZE]) {
  struct passwd entry, *found = NULL;
  char room[4096];
  getpwuid_r(uid, &entry, room, sizeof room, &found);
  if (found)
    snprintf(name, USER_NAME_SIZE, "%s", entry.pw_name);
  else
    snprintf(name, USER_NAME_SIZE, "%lu", (unsigned long)uid);
  return name;
}

static int read_all(int fd, char *text, size_t room, size_t *size) {
  *size = 0;
  while (*size < room) {
    ssize_t count = read(fd, text + *size, room - *size);
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      return -errno;
    if (count == 0)
      return 0;
    *size += (size_t)count;
  }
  return -EAGAIN;
}

int text_file_read_open(int fd, size_t limit, char **text, size_t *size) {
  *text = NULL;
  *size = 0;
  struct stat found;
  if (fstat(fd, &found) < 0)
    return -errno;
  if (!S_ISREG(found.st_mode))
    return S_ISDIR(found.st_mode) ? -EISDIR : -ENOTSUP;
  if ((size_t)found.st_size > limit)
    return -EFBIG;
  /* One more byte than it should have tells whether it has grown. */
  size_t room = (size_t)found.st_size + 1;
  *text = malloc(room);
  int status = *text ? read_all(fd, *text, room, size) : -ENOMEM;
  if (status < 0) {
    free(*text);
    *text = NULL;
  }
  return status;
}

int text_file_read(const char *path, size_t limit, char **text, size_t *size, struct file_stamp *stamp) {
  *text = NULL;
  *size = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0)
    return errno == ENXIO ? -ENOTSUP : -errno; /* a socket */
  if (stamp)
    file_stamp_take(stamp, fd);
  int status = text_file_read_open(fd, limit, text, size);
  close(fd);
  return status;
}

const char *text_file_refused(bool is_directory, char text[TEXT_FILE_REFUSED_SIZE]) {
  char user[USER_NAME_SIZE];
  user_name(geteuid(), user);
  snprintf(text, TEXT_FILE_REFUSED_SIZE,
           "can't be read by the user \"%s\", as whom moongate runs: give it (and search permission of the directories "
           "above it) to a group of that user (chgrp, chmod g+%s), or by an ACL (setfacl -m u:%s:%s)",
           user, is_directory ? "rx" : "r", user, is_directory ? "rx" : "r");
  return text;
}

const char *text_file_unwritable(char text[TEXT_FILE_REFUSED_SIZE]) {
  char user[USER_NAME_SIZE];
  user_name(geteuid(), user);
  snprintf(text, TEXT_FILE_REFUSED_SIZE,
           "can't be changed by the user \"%s\", as whom moongate runs: give the directory to that user (chown), or to "
           "a group of it (chgrp, chmod g+rwx), or let it in by an ACL (setfacl -m u:%s:rwx)",
           user, user);
  return text;
}

static int write_all(int fd, const struct text_piece *piece) {
  size_t done = 0;
  while (done < piece->size) {
    ssize_t count = write(fd, piece->bytes + done, piece->size - done);
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      return -errno;
    done += (size_t)count;
  }
  return 0;
}

/* An access list, where the file system has them; without one the mode says all. */
static void keep_acl(int directory, const char *name, int fd) {
  static const char key[] = "system.posix_acl_access";
  char list[ACL_SIZE];
  int old = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  ssize_t size = old < 0 ? -1 : fgetxattr(old, key, list, sizeof list);
  if (size > 0)
    fsetxattr(fd, key, list, (size_t)size, 0);
  if (old >= 0)
    close(old);
}

/* Makes the new file as the one that it is going to replace. A link, or whatever else is no file, can't be kept: it has
 * to be ours. */
static int keep_owner(int directory, const char *name, int fd) {
  struct stat old, new;
  if (fstatat(directory, name, &old, AT_SYMLINK_NOFOLLOW) != 0)
    return 0;
  if (!S_ISREG(old.st_mode))
    return old.st_uid == geteuid() ? 0 : -EPERM;
  if (fstat(fd, &new) != 0)
    return -errno;
  if ((new.st_uid != old.st_uid || new.st_gid != old.st_gid) && fchown(fd, old.st_uid, old.st_gid) != 0)
    return -errno;
  if (fchmod(fd, old.st_mode & ALL_MODE) != 0)
    return -errno;
  keep_acl(directory, name, fd);
  return 0;
}

static char *aside_name(const char *name) {
  char *aside = NULL;
  return asprintf(&aside, ".%s.tmp", name) < 0 ? NULL : aside;
}

static int write_aside(int directory, const char *name, const struct text_piece *pieces, size_t count, mode_t mode,
                       bool keeps, struct pace *pace) {
  char *aside = aside_name(name);
  if (!aside)
    return -ENOMEM;
  unlinkat(directory, aside, 0); /* of an earlier try */
  int fd = openat(directory, aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
  int status = fd < 0 ? -errno : keeps ? keep_owner(directory, name, fd) : 0;
  pace_breathe(pace);
  for (size_t i = 0; i < count && status == 0; i++)
    status = write_all(fd, &pieces[i]);
  pace_breathe(pace);
  if (status == 0 && fsync(fd) < 0)
    status = -errno;
  if (fd >= 0 && close(fd) < 0 && status == 0)
    status = -errno;
  if (status < 0 && fd >= 0)
    unlinkat(directory, aside, 0);
  free(aside);
  return status;
}

int text_file_write_aside(int directory, const char *name, const struct text_piece *pieces, size_t count, mode_t mode) {
  return write_aside(directory, name, pieces, count, mode, true, NULL);
}

int text_file_put_in_place(int directory, const char *name) {
  char *aside = aside_name(name);
  int status = !aside ? -ENOMEM : renameat(directory, aside, directory, name) < 0 ? -errno : 0;
  if (status == 0)
    status = fsync(directory) < 0 ? -errno : 0;
  else if (aside)
    unlinkat(directory, aside, 0);
  free(aside);
  return status;
}

void text_file_remove_aside(int directory, const char *name) {
  char *aside = aside_name(name);
  if (aside)
    unlinkat(directory, aside, 0);
  free(aside);
}

int text_file_replace_own(int directory, const char *name, const struct text_piece *pieces, size_t count, mode_t mode,
                          struct pace *pace) {
  int status = write_aside(directory, name, pieces, count, mode, false, pace);
  pace_breathe(pace);
  return status == 0 ? text_file_put_in_place(directory, name) : status;
}
