/* Words from CTC posteriors in plain C11, for ctypes: three ideas, a file each.
 *
 *   language.c  an n-gram language model, mapped from a KenLM trie
 *   lexicon.c   every word's spelling, as a trie of tokens
 *   beam.c      the search over both, whose state can be copied
 *
 * Nothing is global. What cannot be done comes back as NULL or NO_MEMORY; why, as one line of text where there is a
 * reason but memory. Objects that others point to (a language, a lexicon) must outlive them and may be shared by threads.
 */
#ifndef DICTATE_SEARCH_H
#define DICTATE_SEARCH_H

#include <stddef.h>
#include <stdint.h>

enum { ORDER = 6 };          /* the longest n-grams that are read */
#define NONE UINT32_MAX      /* no word, no history, no token */

enum { NO_MEMORY = -1 };

/* The newest words that a language model still distinguishes, newest first, and what leaving each of them costs. */
typedef struct {
    uint32_t length, words[ORDER - 1];
    float backoff[ORDER - 1];
} context;

typedef struct language language;
language *language_open(const char *path, char *error, size_t room);
void language_close(language *model);
uint32_t language_word(const language *model, const char *word, size_t length); /* 0 when unknown */
context language_begin(const language *model);
float language_score(const language *model, const context *before, uint32_t word, context *after); /* log10 */
float language_end(const language *model, const context *before);
void language_sentence(const language *model, const uint32_t *words, size_t count, float *scores);

/* Node 0 is the root; the children of a node stand side by side, and so do its words. */
typedef struct {
    uint32_t child, word;    /* the first of each */
    uint16_t token, children, words;
    float best;              /* the highest score of a word below, itself included */
} node;

typedef struct {
    uint32_t nodes, rows;
    uint32_t tokens;
    node *node;
    uint32_t *row, *word;    /* of each word: its row in the table, its number in the language model */
} lexicon;
lexicon *lexicon_build(const language *model, uint32_t rows, const uint32_t *ends, const uint16_t *spelling,
                       const float *scores, const char *text, const uint32_t *text_ends, uint32_t tokens,
                       uint32_t homophones, char *error, size_t room);
void lexicon_free(lexicon *words);

typedef struct {
    uint32_t beam, beam_tokens;          /* hypotheses kept; tokens of a frame that may be new in one */
    uint32_t blank, boundary;            /* tokens; boundary ends a word, NONE where there is no such token */
    float threshold;                     /* a hypothesis this much below the best is dropped */
    float language_weight, word_score;   /* times log10 probability; for each word */
    float blank_skip;                    /* log posterior of the blank above which a frame after such a one is skipped */
    float floor;                         /* log posteriors are raised to this */
} options;

typedef struct search search;
search *search_new(const lexicon *words, const language *model, const options *chosen);
search *search_copy(const search *from, uint32_t beam);
void search_free(search *s);
void search_begin(search *s);
int search_accept(search *s, const float *log_posteriors, size_t frames);
int search_close(search *s);
long search_best(search *s, int closed, const uint32_t **rows, uint32_t *stable, double *score);

#endif
