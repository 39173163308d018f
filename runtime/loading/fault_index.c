/* SPDX-License-Identifier: MIT
 *
 * Lists of faults in an order in which they are found: there may be ten thousand, and somebody who asks about each. */
#include "loading/load.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct fault_index {
  size_t count;
  const struct fault *faults[];
};

static int by_file(const void *left, const void *right) {
  const struct fault *a = *(const struct fault *const *)left, *b = *(const struct fault *const *)right;
  int order = strcmp(a->file, b->file);
  return order != 0 ? order : (a > b) - (a < b); /* as they stand in the list */
}

static int compare_words(const struct fault *a, const struct fault *b) {
  int order = strcmp(a->file, b->file);
  order = order != 0 ? order : strcmp(a->message, b->message);
  order = order != 0 ? order : strcmp(a->route, b->route);
  return order != 0 ? order : strcmp(a->field, b->field);
}

static int by_content(const void *left, const void *right) {
  const struct fault *a = *(const struct fault *const *)left, *b = *(const struct fault *const *)right;
  int order = compare_words(a, b);
  return order != 0 ? order : (a->line > b->line) - (a->line < b->line);
}

static struct fault_index *index_new(const struct fault_list *list, int (*order)(const void *, const void *)) {
  struct fault_index *index = malloc(sizeof *index + list->count * sizeof(const struct fault *));
  if (!index)
    return NULL;
  index->count = list->count;
  for (size_t i = 0; i < list->count; i++)
    index->faults[i] = &list->faults[i];
  qsort(index->faults, index->count, sizeof(const struct fault *), order);
  return index;
}

struct fault_index *fault_index_by_file(const struct fault_list *list) {
  return index_new(list, by_file);
}
struct fault_index *fault_index_by_content(const struct fault_list *list) {
  return index_new(list, by_content);
}
void fault_index_free(struct fault_index *index) { free(index); }

const struct fault *const *fault_index_of_file(const struct fault_index *index, const char *file, size_t *count) {
  size_t from = 0, to = index->count;
  while (from < to) {
    size_t middle = from + (to - from) / 2;
    if (strcmp(index->faults[middle]->file, file) < 0)
      from = middle + 1;
    else
      to = middle;
  }
  for (*count = 0; from + *count < index->count && strcmp(index->faults[from + *count]->file, file) == 0; ++*count)
    ;
  return &index->faults[from];
}

bool fault_index_has(const struct fault_index *index, const struct fault *fault, bool at_any_line) {
  struct fault wanted = *fault;
  const struct fault *first = &wanted;
  size_t from = 0, to = index->count;
  if (at_any_line)
    wanted.line = INT_MIN;
  while (from < to) {
    size_t middle = from + (to - from) / 2;
    if (by_content(&index->faults[middle], &first) < 0)
      from = middle + 1;
    else
      to = middle;
  }
  return from < index->count && compare_words(index->faults[from], fault) == 0 &&
         (at_any_line || index->faults[from]->line == fault->line);
}
