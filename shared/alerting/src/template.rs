//! The template language of labels and annotations.
