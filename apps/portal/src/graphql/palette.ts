import { graphql } from '@/gen/palette';

/** What the command palette finds by name. */
export const PaletteQuery = graphql(`
  query Palette {
    nodes(first: 500) {
      nodes {
        id
        name
        state
      }
    }
    drvms(first: 500) {
      nodes {
        id
        name
        tenant
        state
      }
    }
  }
`);
