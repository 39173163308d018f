/* SPDX-License-Identifier: MIT
 *
 * Looking into records by their description. */
#include "script/record.h"

#include <stdlib.h>
#include <string.h>

const struct record_field *record_find(const struct record_type *type, const char *name) {
  const char *dot = strchr(name, '.');
  size_t length = dot ? (size_t)(dot - name) : 0;
  for (size_t i = 0; i < type->field_count; i++) {
    const struct record_field *field = &type->fields[i];
    if (strcmp(field->name, dot ? dot + 1 : name) != 0 || !field->within != !dot)
      continue;
    if (!dot || (strncmp(field->within, name, length) == 0 && !field->within[length]))
      return field;
  }
  return NULL;
}

uint64_t record_number(const struct record_field *field, const void *record) {
  const void *at = record_field_at(field, record);
  switch (field->kind) {
  case RECORD_FLAG:
    return *(const bool *)at;
  case RECORD_SMALL:
    return *(const uint16_t *)at;
  case RECORD_INTEGER:
    return *(const int *)at > 0 ? (uint64_t) * (const int *)at : 0;
  case RECORD_COUNT:
    return *(const unsigned *)at;
  case RECORD_WIDE:
  case RECORD_MS:
    return *(const uint64_t *)at;
  default:
    return 0;
  }
}

const char *record_text(const struct record_field *field, const void *record) {
  const void *at = record_field_at(field, record);
  switch (field->kind) {
  case RECORD_TEXT:
  case RECORD_WORD:
    return *(const char *const *)at;
  case RECORD_CHARS:
    return at;
  case RECORD_HOST:
    return ((const struct record_host *)at)->host;
  default:
    return NULL;
  }
}

#define COMPARE(a, b) ((a) < (b) ? -1 : (a) > (b))

int record_compare(const struct record_field *field, const void *a, const void *b) {
  const void *left = record_field_at(field, a), *right = record_field_at(field, b);
  switch (field->kind) {
  case RECORD_ADDRESS:
  case RECORD_PREFIX:
    return memcmp(left, right, sizeof((struct ip_address *)NULL)->bytes);
  case RECORD_REAL:
    return COMPARE(*(const double *)left, *(const double *)right);
  case RECORD_ID: {
    const struct record_id *one = left, *other = right;
    return one->worker != other->worker ? COMPARE(one->worker, other->worker) : COMPARE(one->number, other->number);
  }
  case RECORD_TEXT:
  case RECORD_WORD:
  case RECORD_CHARS:
  case RECORD_HOST: {
    const char *one = record_text(field, a), *other = record_text(field, b);
    int order = strcmp(one ? one : "", other ? other : "");
    if (order != 0 || field->kind != RECORD_HOST)
      return order;
    return COMPARE(((const struct record_host *)left)->port, ((const struct record_host *)right)->port);
  }
  default:
    return COMPARE(record_number(field, a), record_number(field, b));
  }
}

/* Where the pointer to a text of its own stands; NULL: it has none. */
static const char **record_own_text(const struct record_field *field, void *record) {
  if (field->kind != RECORD_TEXT && field->kind != RECORD_HOST)
    return NULL;
  _Static_assert(offsetof(struct record_host, host) == 0, "a host's text stands where a text does");
  return (const char **)(void *)((char *)record + field->offset);
}

void *record_copy(const struct record_type *type, const void *record) {
  size_t size = type->size;
  for (size_t i = 0; i < type->field_count; i++)
    if (record_own_text(&type->fields[i], (void *)record) && record_text(&type->fields[i], record))
      size += strlen(record_text(&type->fields[i], record)) + 1;
  char *copy = malloc(size), *end = copy + type->size;
  if (!copy)
    return NULL;
  memcpy(copy, record, type->size);
  for (size_t i = 0; i < type->field_count; i++) {
    const char **text = record_own_text(&type->fields[i], copy);
    if (!text || !*text)
      continue;
    size_t length = strlen(*text) + 1;
    *text = memcpy(end, *text, length);
    end += length;
  }
  return copy;
}
