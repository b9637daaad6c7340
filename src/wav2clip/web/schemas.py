"""What the JSON API takes and gives; `/docs` and docs/api.md show the same.

Every number that comes in has its range here, so that nothing outside it reaches the library.
Seconds are seconds of the recording; URLs are paths on this server.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Id = Annotated[str, Field(pattern="^[0-9a-f]{32}$", description="Opaque; of this server's run.")]
Label = Annotated[str, Field(min_length=1, max_length=200)]
Share = Annotated[float, Field(ge=0, le=1)]
CollectionName = Annotated[
    str, Field(min_length=1, max_length=1_000, description="1 to 100 characters on one line.")
]


class Given(BaseModel):
    """What a client sends: a field that is not known is refused, not passed over."""

    model_config = ConfigDict(extra="forbid")


class Health(BaseModel):
    """Whether the server answers."""

    status: Literal["ok"] = "ok"
    version: str


class TagCount(BaseModel):
    """A tag, and how many files have it."""

    tag: str
    files: int


class LibraryInfo(BaseModel):
    """What can be searched, and what this server can do."""

    name: str
    files: int
    segments: int
    seconds: float = Field(description="Of all recordings together.")
    model: str
    text_model: str = Field(description="The towers that embed words and pictures.")
    folders: list[str] = Field(
        description="Values of `folder`, sorted; a folder holds those below."
    )
    tags: list[TagCount] = Field(description="The most frequent first.")
    failures: int = Field(description="How many `GET /api/failures` lists.")
    can_generate: bool
    can_map: bool
    index_folders: list[str] = Field(description="What `POST /api/index` accepts, or inside it.")
    any_folder: bool = Field(description="Whether it accepts any folder of this machine.")


class Folder(BaseModel):
    """A folder of this machine."""

    name: str
    path: str = Field(
        description="For `POST /api/index`: a path, or a `file:` URI where its bytes are no text."
    )
    sounds: int | None = Field(
        default=None,
        description="Files directly in it that are called as sound or video; null: not counted.",
    )


class FolderList(BaseModel):
    """What lies in a folder, as far as it may be indexed."""

    places: list[Folder] = Field(description="Where to begin, if no `path` was given.")
    folder: Folder = Field(description="The one that is listed; `name` is its path for people.")
    parent: str | None = Field(description="The `path` of what it lies in, if that is allowed.")
    folders: list[Folder] = Field(description="In it, sorted; hidden ones are left out.")
    whole: bool = Field(description="Whether there are no others: listing stops at 500 or 2 s.")


class Failure(BaseModel):
    """A file or folder that could not be indexed."""

    name: str
    path: str
    reason: str


class FailureList(BaseModel):
    """A part of what could not be indexed, in the order of paths."""

    total: int
    failures: list[Failure]


class FileInfo(BaseModel):
    """A recording of the library."""

    id: Id
    name: str
    path: str = Field(description="As the library stores it.")
    folder: str
    duration: float
    tags: list[str]
    size: int = Field(description="Bytes.")
    modified: str = Field(description="ISO 8601, UTC.")
    samplerate: int = Field(description="Hz.")
    channels: int
    segments: int
    audio: str = Field(description="URL that a browser can play, whatever the file is.")
    waveform: str = Field(description="URL of the waveform.")
    spectrogram: str = Field(description="URL of the spectrogram.")
    download: str = Field(description="URL of the file itself, as an attachment.")


class FileList(BaseModel):
    """A part of the files that pass the filters, sorted."""

    seconds_taken: float
    total: int = Field(description="Files that pass.")
    offset: int = Field(description="Of the first of `files` among them.")
    warnings: list[str] = Field(description="Filters that nothing passes.")
    files: list[FileInfo]


class FacetValue(BaseModel):
    """A value to filter by."""

    value: str = Field(description="For the filter.")
    name: str = Field(description="For people.")
    files: int = Field(description="That have it, and pass the filters of all other facets.")
    deeper: bool = Field(default=False, description="Whether there are values below it.")
    parts: list[FacetValue] = Field(default=[], description="Those, as far as they were asked for.")


class Facets(BaseModel):
    """What files can be filtered by, with how many each value would leave.

    Lists hold no value that no file has.
    """

    total: int = Field(description="Files that pass all filters.")
    folder: list[FacetValue] = Field(description="A tree; a folder counts what lies below, too.")
    category: list[FacetValue] = Field(description="Of the UCS, with its CatIDs below.")
    format: list[FacetValue] = Field(description="The most frequent first.")
    length: list[FacetValue]
    rate: list[FacetValue]
    channels: list[FacetValue]


class Hit(BaseModel):
    """A find: a region of a recording."""

    id: Id
    name: str
    path: str = Field(description="As the library stores it.")
    folder: str
    duration: float
    start: float = Field(description="Of the region.")
    end: float
    peak: float = Field(description="Where the segment begins that fits best.")
    confidence: Share = Field(description="Probability that what was asked for is heard in it.")
    score: float = Field(
        description="What finds are sorted by: what the similarity is worth in a file of so many "
        "segments, and what words in the path and metadata add to it."
    )
    similarity: float = Field(ge=-1.0001, le=1.0001, description="Cosine with the query.")
    words: list[str] = Field(description="Words of the query that the path holds in some form.")
    tags: list[str] = Field(description="Of the best segment.")
    excerpt: str = Field(description="URL of the region as a WAV file, as an attachment.")
    excerpt_name: str = Field(description="What to call it.")
    audio: str = Field(description="URL that a browser can play, whatever the file is.")
    waveform: str = Field(description="URL of the waveform.")
    spectrogram: str = Field(description="URL of the spectrogram.")
    download: str = Field(description="URL of the file itself, as an attachment.")


class Found(BaseModel):
    """The answer to a search."""

    seconds_taken: float
    query: str = Field(description="The query as it was understood.")
    warnings: list[str] = Field(
        description="Words that mean nothing to the text tower, and filters that nothing passes."
    )
    likely: bool = Field(description="Whether one of the hits at least may be what was asked for.")
    hits: list[Hit] = Field(description="Best first.")


class CollectionSummary(BaseModel):
    """A collection."""

    name: str
    items: int
    missing: int = Field(description="How many of these are missing.")


class CollectionList(BaseModel):
    """The collections of the library."""

    collections: list[CollectionSummary] = Field(description="By name.")


class CollectedItem(BaseModel):
    """A recording of a collection, or a part of one."""

    item: Id = Field(description="Of the item; unlike others it stays the same.")
    name: str
    path: str = Field(description="Where the file is, or where it was.")
    start: float
    end: float
    whole: bool = Field(description="Whether all of the recording is meant.")
    duration: float
    added: str = Field(description="ISO 8601, UTC.")
    note: str
    missing: bool = Field(description="Whether the library has it no more, or the file is gone.")
    sound: FileInfo | None = Field(description="The recording; none where it is missing.")
    excerpt: str | None = Field(description="URL of the part as a WAV file, as an attachment.")
    excerpt_name: str | None = Field(description="What to call it.")


class Collected(BaseModel):
    """A part of a collection."""

    name: str
    total: int = Field(description="Items of the collection.")
    offset: int = Field(description="Of the first of `items` among them.")
    items: list[CollectedItem] = Field(description="In the order in which they were added.")


class PartOfFile(Given):
    """A recording of the library, or a part of it."""

    id: Id
    start: float = Field(0, ge=0, le=1e7)
    end: float | None = Field(None, gt=0, le=1e7, description="The end of the recording if absent.")


class CollectRequest(Given):
    """What is to be added to a collection, which is made if there is none of that name."""

    name: CollectionName
    parts: list[PartOfFile] = Field(min_length=1, max_length=200)
    note: str | None = Field(None, max_length=1_000, description="Of all of them.")


class CollectAnswer(BaseModel):
    """What became of it."""

    new: int = Field(description="Items that were not there before.")
    items: list[CollectedItem] = Field(description="Those that were meant, in their order.")
    failures: list[str] = Field(description="Why some could not be added.")


class RenameRequest(Given):
    """Another name for a collection."""

    name: CollectionName
    new: CollectionName


class Removed(BaseModel):
    """What was taken away."""

    items: int


class LabelShare(BaseModel):
    """A label and its probability; over all labels asked for they sum to one."""

    label: str
    probability: Share


class Upload(BaseModel):
    """A sound or picture that can be searched with for a while; the file itself is not kept."""

    id: Id
    kind: Literal["sound", "picture"] = Field(description="Decided by content.")
    name: str
    seconds: float | None = Field(description="Of a sound.")
    labels: list[LabelShare] = Field(description="The ten likeliest of a sound, likeliest first.")
    waveform: list[Share] | None = Field(description="Of a sound: 200 peaks.")


class Waveform(BaseModel):
    """The largest absolute sample of each of equally long stretches, and how loud it is."""

    duration: float
    peaks: list[Share]
    level: float | None = Field(
        description="dBFS by RMS, silence and pauses taken away; null where nothing is heard."
    )
    peak: float = Field(description="The largest sample; 1 is full scale, floats may go beyond.")


class MapData(BaseModel):
    """A map of the library (UMAP): what is alike lies close together.

    Points are arrays to keep a map of 20,000 small: `[x, y, file, start]`, x and y in [0, 1], file
    an index into the other lists, start in seconds.
    """

    points: list[tuple[float, float, int, float]]
    ids: list[Id]
    names: list[str]
    groups: list[str] = Field(description="Tag or folder, for colours; may be empty.")
    total: int = Field(description="Moments in the library; above 20,000 a random part is shown.")


class JobState(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobKind(StrEnum):
    """What a job does."""

    INDEX = "index"
    MAP = "map"
    GENERATE = "generate"


class Job(BaseModel):
    """Work that takes a while."""

    id: Id
    kind: JobKind
    state: JobState
    done: int = Field(ge=0)
    total: int = Field(ge=0, description="0 while it is not known.")
    message: str = Field(description="For people; the reason where it failed.")
    result: str | None = Field(description="URL of what it made, when done.")


class JobAccepted(BaseModel):
    """A job that has begun, or was already at work."""

    job: Job


class IndexRequest(Given):
    """A folder to bring the library up to date with."""

    folder: str = Field(min_length=1, max_length=4096, description="See `index_folders`.")


class GenerateRequest(Given):
    """A picture from a sound of the library or from an uploaded one; give one of the two."""

    id: Id | None = None
    start: float = Field(0, ge=0, le=1e7, description="Of the part of `id` that is meant, seconds.")
    end: float | None = Field(None, gt=0, le=1e7, description="The end of the recording if absent.")
    upload: Id | None = None
    steps: int = Field(200, ge=1, le=1000)
    size: int = Field(256, ge=64, le=768, description="Pixels; the picture is square.")
    seed: int = Field(0, ge=0, le=2**31 - 1)


class Detail(BaseModel):
    """What is wrong."""

    what: str
    expected: str | None = None
    do: str | None = None


class Problem(BaseModel):
    """Every error has this form."""

    detail: Detail
