/* SPDX-License-Identifier: MIT
 *
 * Opening what must be ours. It is judged by its descriptor, after it was opened: a name may mean something else by
 * then. */
#include "core/own_file.h"

#include "core/text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIRECTORY_MODE = 0700 };

/* An ACL that lets others write shows in the group's bits. */
int own_judge(const struct stat *entry, uid_t other, const struct own_words *words, struct error *error) {
  char owner[USER_NAME_SIZE], us[USER_NAME_SIZE];
  if (entry->st_uid != geteuid() && entry->st_uid != other)
    return error_set(error, EPERM, "%s belongs to \"%s\", and %s as if \"%s\" had made it: %s, or chown it",
                     words->what, user_name(entry->st_uid, owner), words->danger, user_name(geteuid(), us),
                     words->remedy);
  if (entry->st_mode & (S_IWGRP | S_IWOTH))
    return error_set(error, EPERM, "%s may be written by others, and %s: %s, or chmod go-w it", words->what,
                     words->danger, words->remedy);
  return 0;
}

/* Root may write everywhere anyway. */
static int judge_owner(const struct stat *entry, const char *what, struct error *error) {
  const struct own_words words = {what, "would be believed", "remove it"};
  return own_judge(entry, 0, &words, error);
}

int own_directory_open(int parent, const char *name, struct error *error) {
  char what[ERROR_PLACE_SIZE];
  snprintf(what, sizeof what, "the directory %s", name);
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
    return error_set(error, errno, "%s is a link, or no directory: remove it", what);
  if (fd < 0)
    return error_set(error, errno, "%s can't be opened: %s", what, strerror(errno));
  struct stat entry;
  int status = fstat(fd, &entry) != 0 ? error_set(error, errno, "%s can't be looked at: %s", what, strerror(errno))
                                      : judge_owner(&entry, what, error);
  if (status == 0)
    return fd;
  close(fd);
  return status;
}

int own_directory_make(int parent, const char *name, struct error *error) {
  if (mkdirat(parent, name, DIRECTORY_MODE) != 0 && errno != EEXIST)
    return error_set(error, errno, "the directory %s can't be made: %s", name, strerror(errno));
  return own_directory_open(parent, name, error);
}

static int judge_file(int fd, struct error *error) {
  struct stat entry;
  if (fstat(fd, &entry) != 0)
    return error_set(error, errno, "it can't be looked at: %s", strerror(errno));
  if (!S_ISREG(entry.st_mode))
    return error_set(error, EPERM, "it is not a regular file: remove it");
  if (entry.st_nlink > 1)
    return error_set(error, EPERM, "it is a hard link, the file has another name: remove it");
  return judge_owner(&entry, "it", error);
}

int own_file_read(int directory, const char *name, size_t limit, char **text, size_t *size, struct error *error) {
  *text = NULL;
  *size = 0;
  int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (fd < 0 && errno == ELOOP)
    return error_set(error, EPERM, "it is a link: remove it");
  if (fd < 0 && errno == ENXIO) /* a socket */
    return error_set(error, EPERM, "it is not a regular file: remove it");
  if (fd < 0)
    return error_set(error, errno, "it can't be read: %s", strerror(errno));
  int status = judge_file(fd, error);
  if (status == 0 && (status = text_file_read_open(fd, limit, text, size)) < 0)
    error_set(error, -status, "it can't be read: %s", strerror(-status));
  close(fd);
  return status;
}
