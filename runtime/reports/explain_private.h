/* SPDX-License-Identifier: MIT
 *
 * What the files about explaining share: explain.c has the question and the table, explain_answer.c the
 * routes one by one, explain_outcome.c what becomes of the connection, explain_admission.c who is kept out all the
 * same. */
#pragma once

#include "reports/reports.h"
#include "routing/cases.h"
#include "routing/domain.h"

struct instance;

/* What is asked, of which port. */
struct explained {
  const struct route_table *table;
  const struct table_port *port;
  struct route_question question;
  struct ip_address address;       /* that it comes in on; not set: not said */
  unsigned open;                   /* bits of enum route_open: what is not said */
  size_t limit;                    /* candidates that are told one by one */
  const struct instance *instance; /* whose files have versions; NULL: offline */
  char domain[DOMAIN_SIZE + 1];    /* what the question's points to */
};

/* What the verdicts come to. All zero before the first. */
struct outcome {
  struct route_cases cases;
  unsigned open;   /* bits of enum route_open: what it hangs on */
  unsigned taken;  /* TLS versions that some route takes for sure */
  bool has_chosen; /* nobody is left to be refused */
  /* Whether one that is refused is so by a `when`, or by its version: perhaps, and for sure. */
  bool may_fail_when, fails_when, may_fail_version, fails_version;
};

/* 0 or -ENOMEM. */
int outcome_add(struct outcome *outcome, const struct explained *explained, const struct route_verdict *verdict);

/* Writes what it hangs on, the cases, and what becomes of who gets no route. */
void outcome_write(struct value *root, struct outcome *outcome, const struct explained *explained);

/* Writes what keeps the client out of `chosen` (NULL: no route is sure), if anything does. */
void explain_admission(struct value *root, const struct explained *explained, const struct route *chosen);

/* Writes the candidates, the outcome, and what keeps the client out. 0 or -ENOMEM. */
int explain_candidates(struct value *root, const struct explained *explained);
