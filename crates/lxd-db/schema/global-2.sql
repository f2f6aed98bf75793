-- How the source of an image is asked again: what images_source has no place for.
CREATE TABLE images_source_ways (
  image_id INTEGER PRIMARY KEY NOT NULL REFERENCES images (id) ON DELETE CASCADE,
  project TEXT NOT NULL,    -- the image's project on that server; empty: default
  outside INTEGER NOT NULL  -- 1: it was fetched for a restricted project, so only other machines are asked
);
