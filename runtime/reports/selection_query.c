/* SPDX-License-Identifier: MIT
 *
 * What a question means, read from its arguments, and whether a record is that. */
#include "reports/selection_private.h"

#include "net/ip_set.h"

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_like(const struct clause *clause, const void *record) {
  char text[512];
  const char *own = record_text(clause->field, record);
  if (own && fnmatch(clause->text, own, FNM_CASEFOLD) == 0)
    return true;
  if (!own || clause->field->kind != RECORD_HOST)
    return false;
  const struct record_host *host = record_field_at(clause->field, record);
  return fnmatch(clause->text, host_format(own, host->port, text, sizeof text), FNM_CASEFOLD) == 0;
}

static int compare_ids(const void *left, const void *right) {
  const struct record_id *a = left, *b = right;
  if (a->worker != b->worker)
    return a->worker < b->worker ? -1 : 1;
  return a->number < b->number ? -1 : a->number > b->number;
}

/* Does one of them lie in the other? */
static bool prefixes_meet(const struct prefix *a, const struct prefix *b) {
  unsigned bits = a->bits < b->bits ? a->bits : b->bits;
  for (unsigned i = 0; i < bits; i++)
    if ((a->bytes[i / 8] ^ b->bytes[i / 8]) & (0x80 >> (i % 8)))
      return false;
  return true;
}

/* A prefix is meant too when it is an address of it that was asked for. */
static bool lies_within(const struct clause *clause, const void *at) {
  const struct record_prefix *told = at;
  struct prefix asked;
  if (clause->field->kind == RECORD_ADDRESS)
    return ip_set_contains(clause->addresses, at);
  if (!ip_set_prefix(clause->addresses, 0, &asked))
    return ip_set_contains(clause->addresses, &told->address);
  struct prefix shown = prefix_make(told->address.bytes, ip_address_is_ipv4(&told->address), told->bits);
  return prefixes_meet(&asked, &shown);
}

bool clause_passes(const struct clause *clause, const void *record) {
  const struct record_field *field = clause->field;
  const void *at = record_field_at(field, record);
  const char *text;
  switch (clause->test) {
  case CLAUSE_IS:
    text = record_text(field, record);
    return clause->text ? text && strcmp(text, clause->text) == 0 : record_number(field, record) == clause->number;
  case CLAUSE_LIKE:
    return is_like(clause, record);
  case CLAUSE_AT_LEAST:
    return record_number(field, record) >= clause->number;
  case CLAUSE_WITHIN:
    return lies_within(clause, at);
  case CLAUSE_ONE_OF:
    return clause->id_count > 0 && bsearch(at, clause->ids, clause->id_count, sizeof *clause->ids, compare_ids);
  }
  return false;
}

/* "1-7": as it is told, and no other way. */
static bool read_id(const char *text, size_t length, struct record_id *id) {
  char again[48], given[48];
  if (length >= sizeof given)
    return false;
  memcpy(given, text, length);
  given[length] = '\0';
  if (sscanf(given, "%u-%" SCNu64, &id->worker, &id->number) != 2)
    return false;
  snprintf(again, sizeof again, "%u-%" PRIu64, id->worker, id->number);
  return strcmp(again, given) == 0;
}

/* A list with commas. What is none is nobody's. */
static int read_ids(struct clause *clause, const char *text, struct error *error) {
  size_t most = 1;
  for (const char *comma = text; (comma = strchr(comma, ',')); comma++)
    most++;
  if (most > SELECTION_IDS)
    return error_set(error, EINVAL, "%s: at most %d at a time", clause->field->name, SELECTION_IDS);
  clause->ids = calloc(most, sizeof *clause->ids);
  if (!clause->ids)
    return error_set(error, ENOMEM, "no memory for the question");
  for (;;) {
    size_t length = strcspn(text, ",");
    clause->id_count += read_id(text, length, &clause->ids[clause->id_count]);
    if (!text[length])
      break;
    text += length + 1;
  }
  qsort(clause->ids, clause->id_count, sizeof *clause->ids, compare_ids);
  return 0;
}

static int read_addresses(struct clause *clause, const char *text, struct error *error) {
  struct error wrong = {0};
  clause->addresses = ip_set_new(&text, 1, &wrong);
  return clause->addresses ? 0 : error_set(error, EINVAL, "%s: %s", clause->field->name, wrong.message);
}

static int read_clause(struct selection_query *query, const struct value *value, struct error *error) {
  struct clause *clause = &query->clauses[query->clause_count];
  char name[64];
  size_t length = strcspn(value->key ? value->key : "", ">~");
  snprintf(name, sizeof name, "%.*s", (int)length, value->key ? value->key : "");
  *clause = (struct clause){.field = record_find(query->type, name)};
  if (!clause->field)
    return error_set(error, EINVAL, "there is nothing called \"%s\" to select by", name);
  query->clause_count++;
  bool is_ms = clause->field->kind == RECORD_MS, is_text = value->kind == VALUE_STRING;
  clause->number = value->kind == VALUE_BOOLEAN ? value->boolean : (uint64_t)(value->number * (is_ms ? 1000 : 1));
  clause->test = !value->key[length] ? CLAUSE_IS : value->key[length] == '~' ? CLAUSE_LIKE : CLAUSE_AT_LEAST;
  if (is_text != (clause->field->kind >= RECORD_TEXT) || (value->number < 0 || value->number > 1e15))
    return error_set(error, EINVAL, "%s: that is not what it is selected by", name);
  if (clause->field->kind == RECORD_ADDRESS || clause->field->kind == RECORD_PREFIX) {
    clause->test = CLAUSE_WITHIN;
    return read_addresses(clause, value->string, error);
  }
  if (clause->field->kind == RECORD_ID) {
    clause->test = CLAUSE_ONE_OF;
    return read_ids(clause, value->string, error);
  }
  if (is_text && !(clause->text = strdup(value->string)))
    return error_set(error, ENOMEM, "no memory for the question");
  return 0;
}

static int by_cost(const void *left, const void *right) {
  const struct clause *a = left, *b = right;
  unsigned one = a->field->flags & RECORD_COSTLY, other = b->field->flags & RECORD_COSTLY;
  return one != other ? (int)one - (int)other : (int)a->test - (int)b->test;
}

static int read_page(struct selection_query *query, const struct value *arguments, struct error *error) {
  double limit = value_get_number(arguments, "limit", 0), offset = value_get_number(arguments, "offset", 0);
  if (!(limit >= 0 && offset >= 0) || limit + (limit > 0 ? offset : 0) > SELECTION_MOST)
    return error_set(error, EINVAL, "offset: at most %d with the limit; the filters make a list shorter",
                     SELECTION_MOST);
  query->limit = (size_t)limit;
  query->offset = limit > 0 ? (size_t)offset : 0;
  return 0;
}

int selection_query_init(struct selection_query *query, const struct record_type *type, const struct value *arguments,
                         struct error *error) {
  *query = (struct selection_query){.type = type, .descending = value_get_flag(arguments, "descending")};
  const struct value *where = value_get(arguments, "where");
  const char *sort = value_get_text(arguments, "sort");
  size_t count = 0;
  if (sort && !(query->order = record_find(type, sort)))
    return error_set(error, EINVAL, "sort: there is no order \"%s\"", sort);
  if (sort && query->order->flags & RECORD_COSTLY && type->complete)
    return error_set(error, EINVAL, "sort: \"%s\" is too costly an order", sort);
  query->clauses = calloc(SELECTION_CLAUSES, sizeof *query->clauses);
  if (!query->clauses)
    return error_set(error, ENOMEM, "no memory for the question");
  int status = read_page(query, arguments, error);
  for (const struct value *value = where ? where->first : NULL; value && status == 0; value = value->next)
    status = count++ < SELECTION_CLAUSES ? read_clause(query, value, error)
                                         : error_set(error, EINVAL, "too many conditions");
  qsort(query->clauses, query->clause_count, sizeof *query->clauses, by_cost);
  return status;
}

void selection_query_deinit(struct selection_query *query) {
  for (size_t i = 0; i < query->clause_count; i++) {
    free(query->clauses[i].text);
    free(query->clauses[i].ids);
    ip_set_unref(query->clauses[i].addresses);
  }
  free(query->clauses);
  *query = (struct selection_query){.type = query->type};
}

static const struct clause *find_ids(const struct selection_query *query) {
  for (size_t i = 0; i < query->clause_count; i++)
    if (query->clauses[i].test == CLAUSE_ONE_OF)
      return &query->clauses[i];
  return NULL;
}

bool selection_query_concerns(const struct selection_query *query, unsigned worker) {
  const struct clause *clause = find_ids(query);
  bool concerns = !clause;
  for (size_t i = 0; clause && i < clause->id_count && !concerns; i++)
    concerns = clause->ids[i].worker == worker;
  return concerns;
}
