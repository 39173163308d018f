/* SPDX-License-Identifier: MIT
 *
 * The file: a record of a fixed size, "SIZE HASH FILE\tPATH" and blanks, for what is being run; then a line "SIZE HASH
 * FILE" for each text that has ended a process, the newest first. The lines are written when a process starts, aside
 * and renamed; after that only the record is touched. */
#include "loading/load_mark.h"

#include "core/own_file.h"
#include "core/text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  RECORD_SIZE = 1024,
  ENDED_MOST = 64, /* texts that are remembered */
  FILE_SIZE_MOST = 64 * 1024,
  FILE_MODE = 0600
};

struct ended {
  size_t size;
  uint64_t hash;
  char file[256]; /* NAME_MAX and its end */
};

struct load_mark {
  atomic_uint references;
  int fd; /* -1: nothing is marked */
  bool is_own;
  pthread_mutex_t lock; /* for the record, and what follows */
  bool withdrawn;
  atomic_bool abandoned; /* the lock may never be had again */
  size_t count;          /* immutable, like the rest, once it is open */
  struct ended ended[ENDED_MOST];
};

/* One that spans lines could not be told from others, and marks nothing. */
static bool fits(const char *text) { return !strpbrk(text, "\n\t"); }

static void fill_record(char record[RECORD_SIZE], const struct load_mark_text *text) {
  int length = 0;
  memset(record, ' ', RECORD_SIZE);
  if (text && fits(text->file) && strlen(text->file) < sizeof((struct ended *)0)->file)
    length = snprintf(record, RECORD_SIZE, "%zu %016" PRIx64 " %s\t%s", text->size, text->hash, text->file,
                      fits(text->path) ? text->path : text->file);
  if (length >= 0 && length < RECORD_SIZE)
    record[length] = ' ';
  record[RECORD_SIZE - 1] = '\n';
}

/* A line without its end. */
static bool parse_mark_line(const char *line, struct ended *ended) {
  int at = 0;
  if (sscanf(line, "%zu %16" SCNx64 " %n", &ended->size, &ended->hash, &at) != 2 || at == 0)
    return false;
  size_t length = strcspn(line + at, "\t");
  if (length == 0 || length >= sizeof ended->file)
    return false;
  memcpy(ended->file, line + at, length);
  ended->file[length] = '\0';
  return true;
}

static bool is_text(const struct ended *ended, const char *file, size_t size, uint64_t hash) {
  return ended->size == size && ended->hash == hash && strcmp(ended->file, file) == 0;
}

static void add_ended(struct load_mark *mark, const struct ended *ended) {
  for (size_t i = 0; i < mark->count; i++)
    if (is_text(&mark->ended[i], ended->file, ended->size, ended->hash))
      return;
  if (mark->count < ENDED_MOST)
    mark->ended[mark->count++] = *ended;
}

/* Somebody else's would keep files from being loaded: it is not read. 0, or a negative errno and `error`. */
static int read_mark_file(struct load_mark *mark, int directory, struct error *error) {
  char *text, *rest = NULL;
  size_t size;
  struct ended ended;
  struct error why;
  int status = own_file_read(directory, "loading", FILE_SIZE_MOST, &text, &size, &why);
  if (status == -ENOENT)
    return 0;
  if (status < 0)
    return error_set(error, -status, "what has ended earlier processes is not known, and forgotten: %s", why.message);
  char *copy = malloc(size + 1); /* what is read is no string */
  if (copy) {
    memcpy(copy, text, size);
    copy[size] = '\0';
  }
  for (char *line = copy ? strtok_r(copy, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest))
    if (parse_mark_line(line, &ended))
      add_ended(mark, &ended);
  free(copy);
  free(text);
  return 0;
}

static int write_file(const struct load_mark *mark, int directory) {
  char *text = NULL, record[RECORD_SIZE];
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  if (!out)
    return -ENOMEM;
  fill_record(record, NULL);
  fwrite(record, 1, sizeof record, out);
  for (size_t i = 0; i < mark->count; i++)
    fprintf(out, "%zu %016" PRIx64 " %s\n", mark->ended[i].size, mark->ended[i].hash, mark->ended[i].file);
  int status = fclose(out) == 0 ? 0 : -ENOMEM;
  const struct text_piece piece = {text, size};
  if (status == 0)
    status = text_file_replace_own(directory, "loading", &piece, 1, FILE_MODE, NULL);
  free(text);
  return status;
}

struct load_mark *load_mark_open_at(int fd) {
  struct load_mark *mark = calloc(1, sizeof *mark);
  if (!mark)
    return NULL;
  atomic_init(&mark->references, 1);
  mark->fd = fd;
  pthread_mutex_init(&mark->lock, NULL);
  return mark;
}

struct load_mark *load_mark_open(const char *state, struct error *error) {
  struct load_mark *mark = load_mark_open_at(-1);
  if (!mark) {
    error_set(error, ENOMEM, "no memory to mark what is loaded");
    return NULL;
  }
  error->code = 0;
  int directory = own_directory_open(AT_FDCWD, state, error);
  if (directory < 0) {
    error_set_place(error, "%s/loading", state);
    return mark;
  }
  read_mark_file(mark, directory, error);
  int status = write_file(mark, directory);
  if (status == 0 && (mark->fd = openat(directory, "loading", O_WRONLY | O_CLOEXEC | O_NOFOLLOW)) < 0)
    status = -errno;
  close(directory);
  mark->is_own = mark->fd >= 0;
  if (status < 0)
    error_set(error, -status, "what is loaded can't be marked in it: %s", strerror(-status));
  if (error->code != 0)
    error_set_place(error, "%s/loading", state);
  return mark;
}

bool load_mark_is_kept(const struct load_mark *mark) { return mark->fd >= 0; }

struct load_mark *load_mark_ref(struct load_mark *mark) {
  atomic_fetch_add(&mark->references, 1);
  return mark;
}

void load_mark_unref(struct load_mark *mark) {
  if (!mark || atomic_fetch_sub(&mark->references, 1) > 1)
    return;
  if (mark->is_own)
    close(mark->fd);
  pthread_mutex_destroy(&mark->lock);
  free(mark);
}

static void write_record(struct load_mark *mark, const struct load_mark_text *text, bool withdraw) {
  char record[RECORD_SIZE];
  if (atomic_load(&mark->abandoned))
    return;
  fill_record(record, text);
  pthread_mutex_lock(&mark->lock);
  if (mark->fd >= 0 && !mark->withdrawn) {
    ssize_t ignored = pwrite(mark->fd, record, sizeof record, 0); /* the room is there already */
    (void)ignored;
  }
  mark->withdrawn |= withdraw;
  pthread_mutex_unlock(&mark->lock);
}

void load_mark_set(struct load_mark *mark, const struct load_mark_text *text) {
  if (mark)
    write_record(mark, text, false);
}

void load_mark_withdraw(struct load_mark *mark) {
  if (mark)
    write_record(mark, NULL, true);
}

void load_mark_abandon(struct load_mark *mark) { atomic_store(&mark->abandoned, true); }

bool load_mark_has_ended(const struct load_mark *mark, const struct load_mark_text *text) {
  for (size_t i = 0; mark && i < mark->count; i++)
    if (is_text(&mark->ended[i], text->file, text->size, text->hash))
      return true;
  return false;
}

bool load_mark_read(int fd, char *path, size_t size) {
  char record[RECORD_SIZE + 1];
  struct ended ended;
  if (pread(fd, record, RECORD_SIZE, 0) != RECORD_SIZE)
    return false;
  record[RECORD_SIZE] = '\0';
  const char *tab = strchr(record, '\t');
  if (!tab || !parse_mark_line(record, &ended))
    return false;
  size_t length = strlen(tab + 1);
  while (length > 0 && (tab[length] == ' ' || tab[length] == '\n'))
    length--;
  snprintf(path, size, "%.*s", (int)length, tab + 1);
  return true;
}
