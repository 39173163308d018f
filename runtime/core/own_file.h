/* SPDX-License-Identifier: MIT
 *
 * Files and directories that are believed because they are ours: what is in them is run, or written over. They are
 * opened without following a link, and refused when anybody else may have had a hand in them. */
#pragma once

#include "core/error.h"

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

/* For people: "WHAT belongs to "bob", and DANGER as if "root" had made it: REMEDY, or chown it". */
struct own_words {
  const char *what;   /* "it" */
  const char *danger; /* "would be believed" */
  const char *remedy; /* "remove it" */
};

/* It has to be ours, or `other`'s, and writable by nobody else, not by its group either. 0, or -EPERM and `error`. */
int own_judge(const struct stat *entry, uid_t other, const struct own_words *words, struct error *error);

/* Opens the directory `name` in the directory `parent` (or AT_FDCWD). It has to be ours, or root's, and writable by
 * nobody else. A descriptor, or a negative errno and `error`, which begins with "the directory": -EPERM when it is not
 * to be believed, -ENOTDIR or -ELOOP for a link, -ENOENT when it is not there. */
int own_directory_open(int parent, const char *name, struct error *error);

/* As own_directory_open(), after making it, with mode 0700, where it is missing. */
int own_directory_make(int parent, const char *name, struct error *error);

/* Reads a regular file as text_file_read() does. It has to be ours, or root's, writable by nobody else, without another
 * name (a hard link may be to anything). A negative errno comes with `error`, which begins with "it". */
int own_file_read(int directory, const char *name, size_t limit, char **text, size_t *size, struct error *error);
