/* SPDX-License-Identifier: MIT
 *
 * What the files about explaining share: explain.c has the question and the table, explain_answer.c the answer. */
#pragma once

#include "control/explain.h"
#include "routing/choice.h"
#include "routing/domain.h"

struct instance;

/* What is asked, of which port. */
struct explained {
  const struct route_table *table;
  const struct table_port *port;
  struct route_question question;
  struct ip_address address; /* that it comes in on; not set: not said */
  bool tls_version_said;
  size_t limit;                    /* candidates that are told one by one */
  const struct instance *instance; /* whose files have versions; NULL: offline */
  char domain[DOMAIN_SIZE + 1];    /* what the question's points to */
};

/* Writes the candidates. 0 or -ENOMEM. */
int explain_candidates(struct value *root, const struct explained *explained);
