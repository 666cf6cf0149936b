"""The methods of inversion. A new one is a file of its own and a row here.

What a row names is public: `nulltext.NAME` loads it, and type checkers find it by its import beside the table.
"""

from typing import TYPE_CHECKING, Final

from nulltext.tables import Entry, Table

if TYPE_CHECKING:
    from nulltext.inversion.methods.ddim import DDIM as DDIM
    from nulltext.inversion.methods.direct import DirectInversion as DirectInversion
    from nulltext.inversion.methods.edit_friendly import EditFriendly as EditFriendly
    from nulltext.inversion.methods.global_null_text import GlobalNullText as GlobalNullText
    from nulltext.inversion.methods.negative_prompt import NegativePrompt as NegativePrompt
    from nulltext.inversion.methods.no_pivot import NoPivot as NoPivot
    from nulltext.inversion.methods.null_text import NullText as NullText
    from nulltext.inversion.methods.parallel_null_text import ParallelNullText as ParallelNullText
    from nulltext.inversion.methods.random_pivot import RandomPivot as RandomPivot
    from nulltext.inversion.methods.textual_inversion import TextualInversion as TextualInversion

_AT: Final = "nulltext.inversion.methods"

INVERTERS: Final[Table] = {
    "direct": Entry(f"{_AT}.direct:DirectInversion", "keeps the pivot itself; quick, and exact at every guidance"),
    "null-text": Entry(f"{_AT}.null_text:NullText", "optimises a null embedding for each step, as in the paper"),
    "negative-prompt": Entry(
        f"{_AT}.negative_prompt:NegativePrompt", "the prompt's own embedding in the place of the null embeddings"
    ),
    "global-null-text": Entry(f"{_AT}.global_null_text:GlobalNullText", "optimises one null embedding for all steps"),
    "random-pivot": Entry(f"{_AT}.random_pivot:RandomPivot", "null-text inversion around a random pivot"),
    "no-pivot": Entry(f"{_AT}.no_pivot:NoPivot", "null-text inversion under fresh noise, without a pivot"),
    "open-loop": Entry(
        f"{_AT}.parallel_null_text:ParallelNullText", "optimises the null embeddings of all steps in one batch"
    ),
    "textual-inversion": Entry(
        f"{_AT}.textual_inversion:TextualInversion", "optimises the prompt's embedding instead of the null text's"
    ),
    "edit-friendly": Entry(
        f"{_AT}.edit_friendly:EditFriendly", "a noise of its own at every level, given to the edits as well"
    ),
    "ddim": Entry(f"{_AT}.ddim:DDIM", "the sampler run backwards, alone; drifts away under guidance"),
}
"""By the word that stands for each."""

METHOD: Final = "direct"
"""The one that is taken unless another is asked for."""
