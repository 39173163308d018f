/* SPDX-License-Identifier: MIT
 *
 * Reading and replacing whole files. Never waits for what is no file: a pipe is refused. */
#pragma once

#include "core/file_stamp.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { USER_NAME_SIZE = 64 };

/* The user's name, or the number of one who has none. Returns `name`. */
const char *user_name(uid_t uid, char name[USER_NAME_SIZE]);

/* Reads a regular file of at most `limit` bytes. 0 with `text` (malloc, never NULL) and `size`, or a negative errno:
 * -EISDIR and -ENOTSUP for what is no regular file, -EFBIG, -EAGAIN when it grew meanwhile, or what the kernel says.
 * `stamp` (may be NULL) is taken before. */
int text_file_read(const char *path, size_t limit, char **text, size_t *size, struct file_stamp *stamp);

/* The same of an open file, which stays open. */
int text_file_read_open(int fd, size_t limit, char **text, size_t *size);

enum { TEXT_FILE_REFUSED_SIZE = 320 };

/* For people, of what can't be read for want of permission (EACCES): by whom, and how to grant it. Returns `text`. */
const char *text_file_refused(bool is_directory, char text[TEXT_FILE_REFUSED_SIZE]);

/* The same of a directory in which nothing can be made, replaced or removed. */
const char *text_file_unwritable(char text[TEXT_FILE_REFUSED_SIZE]);

struct pace;

/* A piece of what is written. */
struct text_piece {
  const char *bytes;
  size_t size;
};

/* Files are replaced whole and on the disk, or not at all: written aside as ".NAME.tmp", renamed. 0 or a negative
 * errno, when nothing is left aside. */

/* A file that was there keeps its owner, group, mode and ACL; a new one gets of `mode` what the umask leaves. -EPERM
 * when the owner can't be kept, since only root may give files away, or when it is another user's link. */
int text_file_write_aside(int directory, const char *name, const struct text_piece *pieces, size_t count, mode_t mode);

/* After that, one of the two. */
int text_file_put_in_place(int directory, const char *name);
void text_file_remove_aside(int directory, const char *name);

/* All at once, for what has to be ours: the new file is, whosever and however open the old one was. `pace`, or NULL: of
 * a thread that works in stretches; making a file takes the kernel a while. */
int text_file_replace_own(int directory, const char *name, const struct text_piece *pieces, size_t count, mode_t mode,
                          struct pace *pace);
